/*
 * display.h
 *	  Text for people: what a terminal may be shown, how wide it is, times and durations.
 */
#ifndef STENT_WORKER_DISPLAY_H
#define STENT_WORKER_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>

/* Big enough for what display_moment() and display_duration() make. */
#define DISPLAY_TIME_SIZE 40

/* Once a program: lets widths of characters be known. Numbers stay as in C. */
extern void display_begin(void);

/*
 * A copy, malloc'ed, in which control characters and what is not UTF-8 are spelled out
 * (\n, \x1b), so it stays on its line and cannot command a terminal. keep_lines: line ends and
 * tabs stay.
 */
extern char *display_clean(const char *text, size_t size, bool keep_lines);

/* How many columns a clean text takes on a terminal. */
extern int display_width(const char *text);

/* A moment as the server writes it in JSON, for people: "2026-01-31 12:00:05"; NULL: "". */
extern const char *display_moment(const char *moment, char *buffer);

/* Between two moments of the server, for people; "" if one of them is not known. */
extern const char *display_between(const char *from, const char *to, char *buffer);

/* "0.035s", "12.3s", "2m5s", "1h30m", "3d4h" */
extern const char *display_duration(double seconds, char *buffer);

#endif
