/*
 * memory.h
 *	  Where all memory of the library comes from.
 */
#ifndef STENT_MEMORY_H
#define STENT_MEMORY_H

#include <stddef.h>

/* What memory is taken with; tests put failures in their place. */
typedef struct Memory
{
	void *(*resize)(void *block, size_t size);
	void (*release)(void *block);
} Memory;

extern Memory memory;

extern void *memory_new(size_t size);
extern void *memory_resize(void *block, size_t size);
extern char *memory_string(const char *text);
extern void memory_free(void *block);

#endif
