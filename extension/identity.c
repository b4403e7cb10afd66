/*
 * identity.c
 *	  Whether this database's work is this server's to run.
 *
 * A copy of a database has the same tasks as the original. If both ran them, mail
 * would be sent twice. So the table stent.adopted says who runs them: one row of
 * system identifier (differs after initdb: restore, pg_upgrade), data directory's
 * mark (differs in clones and standbys, see state_file.c) and oid of the database
 * (differs after CREATE DATABASE ... TEMPLATE). The first scheduler writes
 * it; dumps, backups and logical copies carry it along, and whoever finds a
 * row that is not its own runs nothing until somebody calls stent.adopt(). One case
 * needs nobody: a standby that was promoted.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "clock.h"
#include "identity.h"
#include "json.h"
#include "state_file.h"
#include "store.h"

#define WHY_LENGTH 512

#define HINT_ADOPT "; call stent.adopt() if its tasks shall run here"

/* What identifies us, or what the table says; texts as stored. */
typedef struct Identity
{
	char system[24];
	char mark[STATE_FILE_MARK_LENGTH + 1]; /* "" = not known */
	int64 database;
} Identity;

typedef enum Standing
{
	STANDING_OURS,
	STANDING_EMPTY,    /* nobody's yet */
	STANDING_PROMOTED, /* its primary's, whose standby this data directory was */
	STANDING_FOREIGN,
	STANDING_UNKNOWN
} Standing;

static void
learn_ours(Identity *ours)
{
	snprintf(ours->system, sizeof(ours->system), UINT64_FORMAT, GetSystemIdentifier());
	if (!state_file_mark(ours->mark))
		ours->mark[0] = '\0';
	ours->database = (int64) MyDatabaseId;
}

static void
copy_text(char *to, size_t len, HeapTuple row, TupleDesc desc, int column)
{
	char *text = SPI_getvalue(row, desc, column);

	strlcpy(to, text != NULL ? text : "", len);
}

/* How many rows there are, and one of them. SPI is connected. */
static uint64
read_adopted(Identity *row)
{
	bool isnull;

	if (SPI_execute("SELECT system_identifier, mark, database_id FROM stent.adopted", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "reading stent.adopted failed");
	if (SPI_processed == 0)
		return 0;
	copy_text(row->system, sizeof(row->system), SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	copy_text(row->mark, sizeof(row->mark), SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	row->database =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	return SPI_processed;
}

static Standing
judge(const Identity *ours, uint64 rows, const Identity *row, char *why, size_t len)
{
	why[0] = '\0';
	if (rows > 1)
		snprintf(why, len,
				 "stent.adopted has " UINT64_FORMAT " rows: another database was restored or "
				 "replicated into this one" HINT_ADOPT,
				 rows);
	else if (rows == 1 && strcmp(row->system, ours->system) != 0)
		snprintf(why, len,
				 "system identifier %s adopted this database, this server has %s: it was restored "
				 "or upgraded" HINT_ADOPT,
				 row->system, ours->system);
	else if (rows == 1 && row->database != ours->database)
		snprintf(why, len,
				 "the database with oid " INT64_FORMAT " was adopted, this one has " INT64_FORMAT
				 ": it is a copy" HINT_ADOPT,
				 row->database, ours->database);
	if (why[0] != '\0')
		return STANDING_FOREIGN;
	if (ours->mark[0] == '\0')
	{
		snprintf(why, len,
				 "the mark of this data directory is not known: stent is not in "
				 "shared_preload_libraries, or the server's log says why there is no stent.state");
		return STANDING_UNKNOWN;
	}
	if (rows == 0)
	{
		snprintf(why, len, "no server has adopted this database yet");
		return STANDING_EMPTY;
	}
	if (strcmp(row->mark, ours->mark) == 0)
		return STANDING_OURS;
	if (state_file_was_standby())
	{
		snprintf(why, len,
				 "this data directory was a standby and adopts the database once it "
				 "is primary");
		return STANDING_PROMOTED;
	}
	snprintf(why, len,
			 "data directory %s adopted this database, this one is %s: it is a copy or a restored "
			 "backup" HINT_ADOPT,
			 row->mark, ours->mark);
	return STANDING_FOREIGN;
}

/* Until the transaction ends nobody else changes the table. */
static void
lock_adopted(void)
{
	if (SPI_execute("LOCK TABLE stent.adopted IN SHARE ROW EXCLUSIVE MODE", false, 0) < 0)
		elog(ERROR, "locking stent.adopted failed");
}

/* Make these rows ours: our row and no other, or none if we have no mark. */
static void
replace_rows(const Identity *ours)
{
	Oid types[4] = {TEXTOID, TEXTOID, INT8OID, TIMESTAMPOID};
	Datum values[4];

	if (SPI_execute("DELETE FROM stent.adopted", false, 0) != SPI_OK_DELETE)
		elog(ERROR, "deleting from stent.adopted failed");
	if (ours->mark[0] == '\0')
		return;
	values[0] = CStringGetTextDatum(ours->system);
	values[1] = CStringGetTextDatum(ours->mark);
	values[2] = Int64GetDatum(ours->database);
	values[3] = TimestampGetDatum(clock_now());
	if (SPI_execute_with_args(
			"INSERT INTO stent.adopted (system_identifier, mark, database_id, adopted_at) "
			"VALUES ($1, $2, $3, $4)",
			4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "inserting into stent.adopted failed");
}

/*
 * Decide whether this database's tasks may run here; adopt it where nobody is asked
 * (first start, promotion). why says what speaks against it, or is empty. For the
 * scheduler, in a transaction, on a primary.
 */
IdentityVerdict
identity_check(char *why, size_t len)
{
	Identity ours;
	Identity row;
	Standing standing;
	ColdSql cold;

	learn_ours(&ours);
	cold_begin(&cold);
	standing = judge(&ours, read_adopted(&row), &row, why, len);
	if (standing == STANDING_EMPTY || standing == STANDING_PROMOTED)
	{
		/* somebody may call stent.adopt() right now */
		lock_adopted();
		standing = judge(&ours, read_adopted(&row), &row, why, len);
	}
	if (standing == STANDING_EMPTY || standing == STANDING_PROMOTED)
	{
		replace_rows(&ours);
		ereport(LOG, (errmsg(standing == STANDING_EMPTY
								 ? "this server runs the tasks of database \"%s\" from now on"
								 : "this server was promoted and runs the tasks of database "
								   "\"%s\" from now on",
							 get_database_name(MyDatabaseId))));
		standing = STANDING_OURS;
		why[0] = '\0';
	}
	cold_end(&cold);
	return standing == STANDING_OURS      ? IDENTITY_OURS
		   : standing == STANDING_FOREIGN ? IDENTITY_FOREIGN
										  : IDENTITY_UNKNOWN;
}

/* Whether this database is a copy whose tasks belong to another server; changes nothing. */
bool
identity_is_foreign(char *why, size_t len)
{
	Identity ours;
	Identity row;
	Standing standing;
	ColdSql cold;

	learn_ours(&ours);
	cold_begin(&cold);
	standing = judge(&ours, read_adopted(&row), &row, why, len);
	cold_end(&cold);
	return standing == STANDING_FOREIGN;
}

static void
push_key(JsonbParseState **parse, const char *key)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(parse, WJB_KEY, &value);
}

/* {"adopted": bool, "why": text or null}; writes nothing, and works on a standby. */
Jsonb *
identity_report(void)
{
	Identity ours;
	Identity row;
	ColdSql cold;
	char why[WHY_LENGTH];
	Standing standing;
	JsonbParseState *parse = NULL;
	JsonbValue value;

	learn_ours(&ours);
	cold_begin(&cold);
	standing = judge(&ours, read_adopted(&row), &row, why, sizeof(why));
	cold_end(&cold);

	(void) pushJsonbValue(&parse, WJB_BEGIN_OBJECT, NULL);
	push_key(&parse, "adopted");
	value.type = jbvBool;
	value.val.boolean = standing == STANDING_OURS;
	(void) pushJsonbValue(&parse, WJB_VALUE, &value);
	push_key(&parse, "why");
	value.type = why[0] == '\0' ? jbvNull : jbvString;
	value.val.string.val = why;
	value.val.string.len = strlen(why);
	(void) pushJsonbValue(&parse, WJB_VALUE, &value);
	return JsonbValueToJsonb(pushJsonbValue(&parse, WJB_END_OBJECT, NULL));
}

PG_FUNCTION_INFO_V1(stent_identity_report);
Datum
stent_identity_report(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(identity_report());
}

PG_FUNCTION_INFO_V1(stent_adopt);
Datum
stent_adopt(PG_FUNCTION_ARGS)
{
	Identity ours;
	Identity row;
	ColdSql cold;
	char why[WHY_LENGTH];
	uint64 rows;
	bool change;

	PreventCommandDuringRecovery("stent.adopt()");
	PreventCommandIfReadOnly("stent.adopt()");
	learn_ours(&ours);
	cold_begin(&cold);
	lock_adopted();
	rows = read_adopted(&row);
	/* without a mark, no row is what we can have */
	change = ours.mark[0] == '\0' ? rows > 0
								  : judge(&ours, rows, &row, why, sizeof(why)) != STANDING_OURS;
	if (change)
		replace_rows(&ours);
	cold_end(&cold);
	if (ours.mark[0] == '\0')
		ereport(NOTICE,
				(errmsg("this server does not know its data directory and adopts nothing yet"),
				 errdetail("The first start with stent in shared_preload_libraries adopts the "
						   "database.")));
	announce_database();
	PG_RETURN_BOOL(change);
}

#ifdef STENT_FAULTS

/* What a scheduler does, for tests: the verdict and its reason. */
PG_FUNCTION_INFO_V1(stent_fault_identity_check);
Datum
stent_fault_identity_check(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"ours", "foreign", "unknown"};
	char why[WHY_LENGTH];
	IdentityVerdict verdict = identity_check(why, sizeof(why));

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s: %s", names[verdict], why)));
}

#endif
