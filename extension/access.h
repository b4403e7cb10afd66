/*
 * access.h
 *	  Who may do what to whose tasks.
 */
#ifndef STENT_ACCESS_H
#define STENT_ACCESS_H

#include "postgres.h"

extern bool caller_is_admin(void);
extern bool caller_may_act_for(const char *role);

#endif
