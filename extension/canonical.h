/*
 * canonical.h
 *	  One text for each JSON value, to be hashed.
 */
#ifndef STENT_CANONICAL_H
#define STENT_CANONICAL_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

extern void canonical_json(StringInfo out, Jsonb *json);
extern void canonical_string(StringInfo out, const char *text, int len);
extern char *canonical_utf8(const char *text, int len);

#endif
