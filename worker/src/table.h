/*
 * table.h
 *	  Rows in aligned columns.
 */
#ifndef STENT_WORKER_TABLE_H
#define STENT_WORKER_TABLE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct TableColumn
{
	const char *title;
	bool right;                              /* aligned to the right, as numbers are */
	const char *(*colour)(const char *cell); /* SGR parameters ("31") or NULL; or no function */
} TableColumn;

typedef struct Table Table;

/* columns: borrowed as long as the table lives. Ends the program for want of memory. */
extern Table *table_new(const TableColumn *columns, int n_columns);
extern void table_free(Table *table);

/* Adds a row; cells are copied, NULL is empty. */
extern void table_add(Table *table, const char *const *cells);

/* Title line and rows, two blanks between columns, none at the end of a line. */
extern void table_print(const Table *table, FILE *out, bool colours);

/* Whether colours make sense there: a terminal, and nobody said NO_COLOR. */
extern bool table_colours(FILE *out);

#endif
