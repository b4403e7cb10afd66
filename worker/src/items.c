/*
 * items.c
 *	  The items of a chunk: each as a task of its own, and what became of them.
 *
 * The items of a chunk share a lease, an attempt and its timeout; a handler sees one of
 * them as the args of a task. Who runs them one after the other is pool.c.
 */
#include "items.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct Items
{
	StentTask *chunk;
	StentTask one; /* the item that runs */
	double began_at;
	size_t n;
	size_t next; /* the one after that */
	json_t *outcomes;
	json_t *effects; /* NULL: none so far */
	bool no_memory;
};

Items *
items_new(const StentTask *chunk, double claimed_at)
{
	Items *items = calloc(1, sizeof(Items));

	if (items == NULL)
		return NULL;
	items->chunk = stent_task_copy(chunk);
	items->outcomes = json_array();
	items->began_at = claimed_at;
	if (items->chunk == NULL || items->outcomes == NULL)
	{
		items_free(items);
		return NULL;
	}
	items->n = json_array_size(items->chunk->args);
	items->one = *items->chunk;
	items->one.items = 0;
	return items;
}

void
items_free(Items *items)
{
	if (items == NULL)
		return;
	if (items->chunk != NULL)
		stent_tasks_free(items->chunk, 1);
	json_decref(items->outcomes);
	json_decref(items->effects);
	free(items);
}

/* What is left of a time that began with the claim; < 0: there is no limit. */
static double
time_left(double limit, double spent)
{
	return limit < 0 ? limit : fmax(limit - spent, 0);
}

/* Notes the next outcome; takes it. */
static void
add_outcome(Items *items, const char *key, json_t *value)
{
	json_t *outcome = json_object();

	if (value == NULL || outcome == NULL || json_object_set_new(outcome, key, value) != 0 ||
		json_array_append_new(items->outcomes, outcome) != 0)
		items->no_memory = true;
}

const StentTask *
items_next(Items *items, double now)
{
	double spent = now - items->began_at;

	items->one.timeout = time_left(items->chunk->timeout, spent);
	items->one.time_left = time_left(items->chunk->time_left, spent);
	/* the attempt is over for all of them: the first one has had its chance */
	while (items->next > 0 && items->next < items->n && items->one.timeout == 0)
	{
		add_outcome(items, "error",
					json_pack("{s:s, s:s}", "code", "ST003", "message",
							  "the timeout of the chunk was over before the item began"));
		items->next++;
	}
	if (items->next >= items->n)
		return NULL;
	items->one.args = json_array_get(items->chunk->args, items->next);
	items->next++;
	return &items->one;
}

/* Adds the numbers of two objects; what does not fit 64 bits becomes a real number. */
static int
add_numbers(json_t *all, const json_t *more)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) more, key, value)
	{
		json_t *old = json_object_get(all, key);
		json_int_t sum;
		json_t *new;

		if (old == NULL)
			new = json_incref(value);
		else if (json_is_integer(old) && json_is_integer(value) &&
				 !__builtin_add_overflow(json_integer_value(old), json_integer_value(value), &sum))
			new = json_integer(sum);
		else
			new = json_real(json_number_value(old) + json_number_value(value));
		if (new == NULL || json_object_set_new(all, key, new) != 0)
			return -1;
	}
	return 0;
}

/* Adds an item's effects of one kind to those of the items before. */
static int
add_effect(json_t *effects, const char *kind, json_t *more)
{
	json_t *all = json_object_get(effects, kind);

	if (all == NULL)
		return json_object_set_new(effects, kind, json_copy(more));
	if (json_is_array(all))
		return json_array_extend(all, more);
	if (strcmp(kind, "context") == 0)
		return json_object_update(all, more);
	return add_numbers(all, more);
}

void
items_take(Items *items, RunEnd *end)
{
	const char *kind;
	json_t *more;

	add_outcome(items, end->succeeded ? "result" : "error", end->value);
	if (end->succeeded && end->effects != NULL && items->effects == NULL)
		items->effects = json_object();
	json_object_foreach(end->succeeded ? end->effects : NULL, kind, more)
	{
		if (items->effects == NULL || add_effect(items->effects, kind, more) != 0)
			items->no_memory = true;
	}
	json_decref(end->effects);
}

bool
items_any(const Items *items)
{
	return json_array_size(items->outcomes) > 0;
}

bool
items_outcomes(Items *items, json_t **outcomes, json_t **effects)
{
	while (!items->no_memory && json_array_size(items->outcomes) < items->n)
		items->no_memory = json_array_append_new(items->outcomes, json_null()) != 0;
	if (items->no_memory)
		return false;
	*outcomes = json_incref(items->outcomes);
	*effects = json_incref(items->effects);
	return true;
}
