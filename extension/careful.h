/*
 * careful.h
 *	  Tasks that crashed a server.
 */
#ifndef STENT_CAREFUL_H
#define STENT_CAREFUL_H

#include "postgres.h"

extern int careful_account(void);
extern void careful_settle(void);
extern bool careful_enter(void);
extern void careful_leave(void);

#endif
