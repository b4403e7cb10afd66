/*
 * canonical.c
 *	  One text for each JSON value, to be hashed.
 *
 * jsonb has already settled which of two equal keys counts. What is left: the order
 * of keys (jsonb's goes by length first), the spelling of numbers (jsonb keeps
 * trailing zeros) and that of strings. docs/idempotency-and-cache.md defines the
 * form for clients in other languages; it is stored in no row but as a hash, so a
 * change of it would forget every memo.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "canonical.h"

/* A pair of an object, with its key as it is compared. */
typedef struct Pair
{
	char *utf8;
	JsonbValue key;
	JsonbValue value;
} Pair;

static void append_value(StringInfo out, const JsonbValue *value);

/*
 * The text in UTF-8; the same pointer where nothing is to be converted. A SQL_ASCII
 * database does not know what its bytes mean: they count as they are.
 */
char *
canonical_utf8(const char *text, int len)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return unconstify(char *, text);
	return pg_server_to_any(text, len, PG_UTF8);
}

/* Append a string of JSON: escapes where JSON asks for one, nowhere else. */
void
canonical_string(StringInfo out, const char *text, int len)
{
	appendStringInfoCharMacro(out, '"');
	for (const char *p = text; p < text + len; p++)
	{
		switch (*p)
		{
			case '"':
				appendStringInfoString(out, "\\\"");
				break;
			case '\\':
				appendStringInfoString(out, "\\\\");
				break;
			case '\b':
				appendStringInfoString(out, "\\b");
				break;
			case '\f':
				appendStringInfoString(out, "\\f");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			default:
				if ((unsigned char) *p < ' ')
					appendStringInfo(out, "\\u%04x", (int) *p);
				else
					appendStringInfoCharMacro(out, *p);
		}
	}
	appendStringInfoCharMacro(out, '"');
}

static int
compare_pairs(const void *a, const void *b)
{
	/* jsonb holds no NUL */
	return strcmp(((const Pair *) a)->utf8, ((const Pair *) b)->utf8);
}

static void
append_object(StringInfo out, JsonbIterator *it, int n)
{
	Pair *pairs = palloc_array(Pair, n);
	JsonbIteratorToken token PG_USED_FOR_ASSERTS_ONLY;

	for (int i = 0; i < n; i++)
	{
		char *key;

		token = JsonbIteratorNext(&it, &pairs[i].key, true);
		Assert(token == WJB_KEY);
		token = JsonbIteratorNext(&it, &pairs[i].value, true);
		Assert(token == WJB_VALUE);
		key = pnstrdup(pairs[i].key.val.string.val, pairs[i].key.val.string.len);
		pairs[i].utf8 = canonical_utf8(key, pairs[i].key.val.string.len);
		if (pairs[i].utf8 != key)
			pfree(key);
	}
	qsort(pairs, n, sizeof(Pair), compare_pairs);
	appendStringInfoCharMacro(out, '{');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(out, ',');
		canonical_string(out, pairs[i].key.val.string.val, pairs[i].key.val.string.len);
		appendStringInfoCharMacro(out, ':');
		append_value(out, &pairs[i].value);
		pfree(pairs[i].utf8);
	}
	appendStringInfoCharMacro(out, '}');
	pfree(pairs);
}

static void
append_container(StringInfo out, JsonbContainer *container)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbValue value;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonbIteratorNext(&it, &value, true) == WJB_BEGIN_OBJECT)
		append_object(out, it, value.val.object.nPairs);
	else
	{
		bool scalar = value.val.array.rawScalar;
		int n = value.val.array.nElems;

		if (!scalar)
			appendStringInfoCharMacro(out, '[');
		for (int i = 0; i < n; i++)
		{
			if (i > 0)
				appendStringInfoCharMacro(out, ',');
			(void) JsonbIteratorNext(&it, &value, true);
			append_value(out, &value);
		}
		if (!scalar)
			appendStringInfoCharMacro(out, ']');
	}
	pfree(it);
}

static void
append_value(StringInfo out, const JsonbValue *value)
{
	char *number;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			/* never an exponent, never a negative zero */
			number = numeric_normalize(value->val.numeric);
			appendStringInfoString(out, number);
			pfree(number);
			break;
		case jbvString:
			canonical_string(out, value->val.string.val, value->val.string.len);
			break;
		case jbvBinary:
			append_container(out, value->val.binary.data);
			break;
		default:
			elog(ERROR, "unexpected kind of jsonb value: %d", (int) value->type);
	}
}

/* Append the canonical text, in the encoding of the database. */
void
canonical_json(StringInfo out, Jsonb *json)
{
	append_container(out, &json->root);
}

PG_FUNCTION_INFO_V1(stent_canonical);
Datum
stent_canonical(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("json must not be null"),
						errhint("The JSON null is 'null'::jsonb.")));
	initStringInfo(&out);
	canonical_json(&out, PG_GETARG_JSONB_P(0));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
