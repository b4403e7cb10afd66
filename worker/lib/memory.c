/*
 * memory.c
 *	  Where all memory of the library comes from.
 *
 * One place, so that a test can make the n-th request fail, for every n. What libpq
 * and jansson take for themselves is theirs; jansson can be told with
 * json_set_alloc_funcs().
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

Memory memory = {realloc, free};

/* Memory of zeros; NULL if there is none. */
void *
memory_new(size_t size)
{
	void *block = memory.resize(NULL, size);

	if (block != NULL)
		memset(block, 0, size);
	return block;
}

/* Makes a block larger or smaller; NULL, and the block as it was, if that cannot be. */
void *
memory_resize(void *block, size_t size)
{
	return memory.resize(block, size);
}

/* A copy of a string; NULL if there is no memory. */
char *
memory_string(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory.resize(NULL, size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

/* Gives a block back; NULL is none. */
void
memory_free(void *block)
{
	memory.release(block);
}
