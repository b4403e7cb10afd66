/*
 * help.h
 *	  Pages of --help, and what was meant by a word nobody knows.
 */
#ifndef STENT_WORKER_HELP_H
#define STENT_WORKER_HELP_H

#include "options.h"

extern void help_print(const CommandPage *page);

/* Of count names, the one meant by a word with a slip of the pen; NULL: none is near. */
extern const char *help_nearest(const char *word, const char *const *names, int count);

#endif
