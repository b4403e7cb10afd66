/*
 * request.h
 *	  A request on its way.
 */
#ifndef STENT_REQUEST_H
#define STENT_REQUEST_H

#include "query.h"

struct Request
{
	Request *next;
	StatementId id;
	size_t n_items;
	StentDone done; /* one of the two, or none */
	QueryDone done_inside;
	void *arg;
	bool parsing;     /* the answer to its Parse comes first */
	bool names;       /* and that prepares the statement for all */
	bool not_parsed;  /* the error is that of its Parse */
	PGresult *result; /* the rows or the first error; counts when the Sync is there */
};

extern void request_finish(StentConn *conn, Request *request, Answer *answer);

#endif
