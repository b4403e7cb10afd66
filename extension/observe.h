/*
 * observe.h
 *	  What the functions that show something have in common.
 */
#ifndef STENT_OBSERVE_H
#define STENT_OBSERVE_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/tuplestore.h"

#include "intern.h"

/* Whose tasks the caller may see. */
typedef struct Viewer
{
	bool admin;
	Oid role;
	char name[NAMEDATALEN];
} Viewer;

extern void viewer_init(Viewer *viewer);
extern bool viewer_may_see(const Viewer *viewer, const Lane *lane);
extern ReturnSetInfo *observe_begin_set(FunctionCallInfo fcinfo);

#endif
