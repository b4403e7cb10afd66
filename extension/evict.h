/*
 * evict.h
 *	  Emptying a database for those who need it empty.
 */
#ifndef STENT_EVICT_H
#define STENT_EVICT_H

extern void evict_init(void);

#endif
