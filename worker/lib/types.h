/*
 * types.h
 *	  Types of the server that we send or understand; their OIDs never change.
 */
#ifndef STENT_TYPES_H
#define STENT_TYPES_H

#define TYPE_BOOL 16
#define TYPE_BYTEA 17
#define TYPE_INT8 20
#define TYPE_INT4 23
#define TYPE_TEXT 25
#define TYPE_FLOAT8 701
#define TYPE_BYTEA_ARRAY 1001
#define TYPE_TEXT_ARRAY 1009
#define TYPE_INT8_ARRAY 1016
#define TYPE_TIMESTAMP 1114
#define TYPE_JSONB 3802
#define TYPE_JSONB_ARRAY 3807

#endif
