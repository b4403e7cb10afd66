/*
 * json_array.c
 *	  Long arrays of jsonb, built and read element by element.
 *
 * The server's own way builds a tree of values first, ten times as large as the array
 * itself, and takes every element apart. Here elements are copied as they are stored:
 * an array is a header, one entry an element (its type and length; every 32nd tells its
 * end instead), then the elements. Numbers and containers are aligned; what pads
 * them belongs to their length.
 */
#include "postgres.h"

#include "compat.h"
#include "json_array.h"

static bool
is_aligned(uint32 type)
{
	return type == JENTRY_ISNUMERIC || type == JENTRY_ISCONTAINER;
}

void
json_array_begin(JsonArray *array)
{
	array->n = 0;
	array->max = 64;
	array->entries = palloc_array(JEntry, array->max);
	initStringInfo(&array->data);
}

/* Whether one more element of this length may be added. */
bool
json_array_fits(const JsonArray *array, uint32 len)
{
	return (uint64) array->data.len + len + 4 <= JENTRY_OFFLENMASK && array->n < JB_CMASK;
}

void
json_array_add(JsonArray *array, const JsonElement *element)
{
	uint32 pad =
		is_aligned(element->type) ? INTALIGN(array->data.len) - (uint32) array->data.len : 0;

	if (!json_array_fits(array, element->len))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("total size of jsonb array elements exceeds the maximum of %d bytes",
							   JENTRY_OFFLENMASK),
						errhint("Give a smaller chunk_size, or store large values in a table and "
								"pass their keys.")));
	if (array->n == array->max)
	{
		array->max *= 2;
		array->entries = repalloc_array(array->entries, JEntry, array->max);
	}
	if (pad > 0)
		appendBinaryStringInfo(&array->data, "\0\0\0", pad);
	if (element->len > 0)
		appendBinaryStringInfo(&array->data, element->data, element->len);
	array->entries[array->n++] = element->type | (pad + element->len);
}

void
json_array_add_value(JsonArray *array, Jsonb *value)
{
	JsonElement element;

	json_element_of(value, &element);
	json_array_add(array, &element);
}

JsonArrayMark
json_array_mark(const JsonArray *array)
{
	return (JsonArrayMark){array->n, array->data.len};
}

/* Forget what was added since. */
void
json_array_cut(JsonArray *array, JsonArrayMark mark)
{
	array->n = mark.n;
	array->data.len = mark.len;
}

/* The array as one value; it may still grow after that. */
Jsonb *
json_array_finish(const JsonArray *array)
{
	Size size = VARHDRSZ + sizeof(uint32) + array->n * sizeof(JEntry) + array->data.len;
	Jsonb *json = palloc(size);
	uint32 end = 0;

	SET_VARSIZE(json, size);
	json->root.header = array->n | JB_FARRAY;
	for (int i = 0; i < array->n; i++)
	{
		JEntry entry = array->entries[i];

		end += JBE_OFFLENFLD(entry);
		if (i % JB_OFFSET_STRIDE == 0)
			entry = (entry & JENTRY_TYPEMASK) | end | JENTRY_HAS_OFF;
		json->root.children[i] = entry;
	}
	memcpy(&json->root.children[array->n], array->data.data, array->data.len);
	return json;
}

void
json_elements_begin(JsonElements *walk, Jsonb *array)
{
	Assert(JB_ROOT_IS_ARRAY(array) && !JB_ROOT_IS_SCALAR(array));
	walk->array = &array->root;
	walk->n = JsonContainerSize(walk->array);
	walk->next = 0;
	walk->offset = 0;
}

bool
json_elements_next(JsonElements *walk, JsonElement *element)
{
	JEntry entry;
	uint32 start;
	uint32 end;

	if (walk->next == walk->n)
		return false;
	entry = walk->array->children[walk->next++];
	element->type = entry & JENTRY_TYPEMASK;
	start = is_aligned(element->type) ? INTALIGN(walk->offset) : walk->offset;
	end = JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : walk->offset + JBE_OFFLENFLD(entry);
	element->data = (char *) &walk->array->children[walk->n] + start;
	element->len = end - start;
	walk->offset = end;
	return true;
}

/* A value as the element that it would be; it must stay where it is. */
void
json_element_of(Jsonb *value, JsonElement *element)
{
	if (!JB_ROOT_IS_SCALAR(value))
	{
		element->type = JENTRY_ISCONTAINER;
		element->data = (char *) &value->root;
		element->len = VARSIZE(value) - VARHDRSZ;
		return;
	}
	element->type = value->root.children[0] & JENTRY_TYPEMASK;
	element->data = (char *) &value->root.children[1];
	element->len = getJsonbLength(&value->root, 0);
}

/* An element as a value of its own. */
Jsonb *
json_element_value(const JsonElement *element)
{
	bool container = element->type == JENTRY_ISCONTAINER;
	Size size = VARHDRSZ + (container ? 0 : 2 * sizeof(uint32)) + element->len;
	Jsonb *json = palloc(size);

	SET_VARSIZE(json, size);
	if (container)
	{
		memcpy(&json->root, element->data, element->len);
		return json;
	}
	json->root.header = 1 | JB_FARRAY | JB_FSCALAR;
	json->root.children[0] = element->type | element->len | JENTRY_HAS_OFF;
	memcpy(&json->root.children[1], element->data, element->len);
	return json;
}
