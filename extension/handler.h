/*
 * handler.h
 *	  Calling the SQL function behind a registered name.
 */
#ifndef STENT_HANDLER_H
#define STENT_HANDLER_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct Handler Handler;

extern Handler *handler_describe(Oid oid, int error_code);
extern Oid handler_oid(const Handler *handler);
extern Oid handler_lookup(const char *qualified_name);
extern void handler_check_privilege(const Handler *handler, const char *name, Oid role);
extern void handler_check_args(const Handler *handler, const char *function, Jsonb *args);
extern Jsonb *handler_call(Handler *handler, Jsonb *args);
extern Jsonb *handler_args_of_item(const Handler *handler, Jsonb *item, bool star);
extern Jsonb *handler_item_args(const Handler *handler, Jsonb *item, bool star);
extern Jsonb *handler_call_item(Handler *handler, const char *function, Jsonb *item, bool star);
extern void handler_forget_calls(Handler *handler);

#endif
