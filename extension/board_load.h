/*
 * board_load.h
 *	  Reading the tables into the board; for the scheduler.
 */
#ifndef STENT_BOARD_LOAD_H
#define STENT_BOARD_LOAD_H

#include "postgres.h"

extern void board_unload(void);
extern void board_load(void);
extern bool board_count(void);
extern bool board_load_uncertain(void);
extern char *board_load_version(Oid extension);

#endif
