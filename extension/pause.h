/*
 * pause.h
 *	  What nobody may claim for a while.
 */
#ifndef STENT_PAUSE_H
#define STENT_PAUSE_H

#include "postgres.h"

#include "intern.h"
#include "store.h"

/* What is paused, as this session knows it. Valid until the next pause_list. */
typedef struct PauseList PauseList;

extern const PauseList *pause_list(Store *store);
extern bool pause_is_current(void);
extern bool pause_holds(const PauseList *list, const Lane *lane);
extern void pause_init(void);

#endif
