/*
 * shared.h
 *	  Values shared by all sessions and tasks of the database.
 */
#ifndef STENT_SHARED_H
#define STENT_SHARED_H

#include "postgres.h"

#include "store.h"

extern int64 shared_add(Store *store, const char *key, int64 delta);

#endif
