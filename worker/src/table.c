/*
 * table.c
 *	  Rows in aligned columns, for terminals and for pipes alike.
 *
 * A pipe gets the same columns as a terminal, without colours.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "display.h"

struct Table
{
	const TableColumn *columns;
	int n_columns;
	int *widths;
	char **cells; /* clean, row by row */
	size_t n_cells;
	size_t size;
};

Table *
table_new(const TableColumn *columns, int n_columns)
{
	Table *table = options_allocate(sizeof(*table));

	table->columns = columns;
	table->n_columns = n_columns;
	table->widths = options_allocate((size_t) n_columns * sizeof(int));
	for (int i = 0; i < n_columns; i++)
		table->widths[i] = display_width(columns[i].title);
	return table;
}

void
table_free(Table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table->widths);
	free(table);
}

/* Room for one more row. */
static void
grow(Table *table)
{
	size_t size = (table->n_cells + (size_t) table->n_columns) * 2;
	char **cells;

	if (table->n_cells + (size_t) table->n_columns <= table->size)
		return;
	cells = options_allocate(size * sizeof(char *));
	if (table->n_cells)
		memcpy(cells, table->cells, table->n_cells * sizeof(char *));
	free(table->cells);
	table->cells = cells;
	table->size = size;
}

void
table_add(Table *table, const char *const *cells)
{
	grow(table);
	for (int i = 0; i < table->n_columns; i++)
	{
		const char *cell = cells[i] ? cells[i] : "";
		char *clean = display_clean(cell, strlen(cell), false);
		int width = display_width(clean);

		if (width > table->widths[i])
			table->widths[i] = width;
		table->cells[table->n_cells++] = clean;
	}
}

/* One line: n_columns cells in their places. titles: they have no colours of their own. */
static void
print_line(const Table *table, char *const *cells, FILE *out, bool colours, bool titles)
{
	int waiting = 0; /* blanks to print before the next visible cell */

	for (int i = 0; i < table->n_columns; i++)
	{
		const TableColumn *column = &table->columns[i];
		const char *cell = titles ? column->title : cells[i];
		const char *colour = NULL;
		int blanks = table->widths[i] - display_width(cell);

		if (colours)
			colour = titles ? "1" : (column->colour ? column->colour(cell) : NULL);
		if (column->right)
			waiting += blanks;
		if (cell[0])
		{
			fprintf(out, "%*s", waiting, "");
			waiting = 0;
			if (colour)
				fprintf(out, "\033[%sm%s\033[0m", colour, cell);
			else
				fputs(cell, out);
		}
		waiting += (column->right ? 0 : blanks) + 2;
	}
	putc('\n', out);
}

void
table_print(const Table *table, FILE *out, bool colours)
{
	print_line(table, NULL, out, colours, true);
	for (size_t i = 0; i < table->n_cells; i += (size_t) table->n_columns)
		print_line(table, table->cells + i, out, colours, false);
}

bool
table_colours(FILE *out)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(out)) && !(no && no[0]);
}
