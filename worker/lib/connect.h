/*
 * connect.h
 *	  Opening a connection.
 */
#ifndef STENT_CONNECT_H
#define STENT_CONNECT_H

#include "conn.h"

extern StentStatus connect_continue(StentConn *conn, StentError *error);

#endif
