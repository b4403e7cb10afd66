/*
 * text.h
 *	  Bytes of commands as text: UTF-8 found, cut and mended.
 */
#ifndef STENT_WORKER_TEXT_H
#define STENT_WORKER_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* Where the first byte is that is not text (UTF-8 without NUL), or size. */
extern size_t text_invalid_at(const char *data, size_t size);
/* The size without a character at the end of which bytes may be still to come. */
extern size_t text_whole(const char *data, size_t size);
/* A JSON string of the bytes, U+FFFD for each that is not text; NULL for want of memory. */
extern json_t *text_json(const char *data, size_t size);
/* The same of the end, at most limit bytes of text. */
extern json_t *text_json_end(const char *data, size_t size, size_t limit);

#endif
