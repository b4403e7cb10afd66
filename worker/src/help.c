/*
 * help.c
 *	  Pages of --help, made of the tables the parser gets: none can miss an option.
 */
#include "help.h"

#include <stdio.h>
#include <string.h>

#define HELP_WIDTH 90
#define HELP_TEXT_AT 32

/* Prints text in lines that begin at a column, the first of which may be partly used. */
static void
print_wrapped(const char *text, int used)
{
	int column = used;

	while (*text)
	{
		int length = (int) strcspn(text, " ");

		if (column < HELP_TEXT_AT)
			column += printf("%*s", HELP_TEXT_AT - column, "");
		else if (column > HELP_TEXT_AT && column + 1 + length > HELP_WIDTH)
		{
			printf("\n%*s", HELP_TEXT_AT, "");
			column = HELP_TEXT_AT;
		}
		else if (column > HELP_TEXT_AT)
			column += printf(" ");
		column += printf("%.*s", length, text);
		text += length;
		while (*text == ' ')
			text++;
	}
	putchar('\n');
}

static void
print_option(const Option *option)
{
	bool has_letter = option->key < OPTION_LONG_ONLY && option->key != OPTION_HELP;
	bool optional = option->argument && option->argument[0] == '[';
	char letter[5] = "    ";
	char text[1024];
	int used;

	if (has_letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->key);
	used = printf("  %s--%s", letter, option->name);
	if (optional)
		used += printf("[=%.*s]", (int) strlen(option->argument) - 2, option->argument + 1);
	else if (option->argument)
		used += printf("=%s", option->argument);
	if (used >= HELP_TEXT_AT)
	{
		putchar('\n');
		used = 0;
	}
	snprintf(text, sizeof(text), option->usual ? "%s (default: %s)" : "%s", option->text,
			 option->usual);
	print_wrapped(text, used);
}

void
help_print(const CommandPage *page)
{
	const char *form = page->usage;
	const char *before = "Usage: ";

	while (*form)
	{
		int length = (int) strcspn(form, "\n");

		printf("%sstent %s %.*s\n", before, page->name, length, form);
		before = "       ";
		form += length;
		if (*form == '\n')
			form++;
	}
	printf("\n%s\n", page->about);
	if (page->options->name)
		printf("\nOptions:\n");
	for (const Option *option = page->options; option->name; option++)
		print_option(option);
	printf("\nConnection, and help:\n");
	for (const Option *option = options_of_all; option->name; option++)
		print_option(option);
	if (page->more)
		printf("\n%s\n", page->more);
}

const char *
help_nearest(const char *word, const char *const *names, int count)
{
	const char *nearest = NULL;
	size_t length = strlen(word);
	int least = length < 4 ? 2 : 3; /* so many slips are another word */

	if (length > 40)
		return NULL;
	for (int i = 0; i < count; i++)
	{
		int row[41 + 1];
		const char *name = names[i];

		/* the edit distance, a row of its matrix at a time */
		for (size_t x = 0; x <= length; x++)
			row[x] = (int) x;
		for (size_t y = 0; name[y]; y++)
		{
			int corner = row[0];

			row[0] = (int) y + 1;
			for (size_t x = 1; x <= length; x++)
			{
				int change = corner + (word[x - 1] != name[y]);
				int step = (row[x] < row[x - 1] ? row[x] : row[x - 1]) + 1;

				corner = row[x];
				row[x] = change < step ? change : step;
			}
		}
		if (row[length] < least)
		{
			least = row[length];
			nearest = name;
		}
	}
	return nearest;
}
