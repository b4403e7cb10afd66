/*
 * query.h
 *	  Requests on their way: sent in a row, answered in order.
 */
#ifndef STENT_QUERY_H
#define STENT_QUERY_H

#include "answer.h"
#include "conn.h"

/*
 * What is called back with an answer. Callbacks of this library may take things out of
 * it (and put NULL there).
 */
typedef void (*QueryDone)(StentConn *conn, Answer *answer, void *arg);

extern Params *query_begin(StentConn *conn);
extern StentStatus query_send(StentConn *conn, StatementId id, size_t n_items, StentDone done,
							  void *arg, StentError *error);
extern StentStatus query_send_inside(StentConn *conn, StatementId id, size_t n_items,
									 QueryDone done, void *arg, StentError *error);
extern void query_lost(StentConn *conn, const StentError *why);

#endif
