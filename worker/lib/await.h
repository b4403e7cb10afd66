/*
 * await.h
 *	  Blocking forms: a request, and waiting for its answer.
 */
#ifndef STENT_AWAIT_H
#define STENT_AWAIT_H

#include "query.h"

extern StentStatus await_send(StentConn *conn, StatementId id, size_t n_items, Answer *answer,
							  StentError *error);

#endif
