/*
 * intern.c
 *	  Immutable shared rows found by content: lanes and retry policies.
 *
 * A row is looked up by the digest of its content and added when no committed
 * (or own) row has it. Nobody waits for another transaction that is adding the
 * same content: it adds a twin, which means the same. Ids come from a sequence,
 * so a row once seen committed never changes, and sessions may remember it.
 *
 * What this transaction added may still vanish; such entries are remembered
 * only until an abort of it or of any subtransaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "intern.h"
#include "json.h"

enum
{
	LANE_ID = 1,
	LANE_DIGEST,
	LANE_ROLE,
	LANE_FUNCTION_ID,
	LANE_QUEUE,
	LANE_TAGS,
	LANE_CHUNKS,
	LANE_COLUMNS = LANE_CHUNKS
};

enum
{
	POLICY_ID = 1,
	POLICY_DIGEST,
	POLICY_POLICY,
	POLICY_COLUMNS = POLICY_POLICY
};

typedef struct InternedId
{
	uint64 digest; /* hash key */
	int32 id;
	int32 check_id; /* function of a lane, size of a policy: makes a collision harmless */
} InternedId;

typedef struct CachedPolicy
{
	int32 id; /* hash key */
	RetryPolicy *policy;
	Jsonb *json;
} CachedPolicy;

static MemoryContext intern_cxt;
static HTAB *lanes;       /* id -> Lane */
static HTAB *policies;    /* id -> CachedPolicy */
static HTAB *lane_ids;    /* digest -> InternedId */
static HTAB *policy_ids;  /* digest -> InternedId */
static bool unsure;       /* holds entries of the running transaction */
static uint64 generation; /* of the store when the caches were filled */
static uint64 role_generation = 1;

/* Whether a row holds this content; the digest only narrows the search. */
typedef bool (*InternMatch)(TupleTableSlot *slot, void *content);

static void
forget(void)
{
	lanes = policies = lane_ids = policy_ids = NULL;
	unsure = false;
	if (intern_cxt != NULL)
		MemoryContextReset(intern_cxt);
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
	{
		if (unsure)
			forget();
	}
	else if (event == XACT_EVENT_COMMIT)
		unsure = false;
	else if (event == XACT_EVENT_PREPARE && unsure)
		forget();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && unsure)
		forget();
}

static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	role_generation++;
}

void
intern_init(void)
{
	CacheRegisterSyscacheCallback(AUTHNAME, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}

static HTAB *
make_table(const char *name, Size keysize, Size entrysize)
{
	HASHCTL ctl = {.keysize = keysize, .entrysize = entrysize, .hcxt = intern_cxt};

	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
prepare_caches(void)
{
	if (lanes != NULL && generation == store_generation())
		return;
	if (intern_cxt == NULL)
		intern_cxt = AllocSetContextCreate(CacheMemoryContext, "stent interned rows",
										   ALLOCSET_DEFAULT_SIZES);
	forget();
	generation = store_generation();
	lanes = make_table("stent lanes", sizeof(int32), sizeof(Lane));
	policies = make_table("stent policies", sizeof(int32), sizeof(CachedPolicy));
	lane_ids = make_table("stent lane ids", sizeof(uint64), sizeof(InternedId));
	policy_ids = make_table("stent policy ids", sizeof(uint64), sizeof(InternedId));
}

static uint64
mix(uint64 seed, const void *bytes, Size len)
{
	return hash_combine64(seed, hash_bytes_extended(bytes, (int) len, 0));
}

/*
 * Find the id of a row with this digest and content. SnapshotSelf sees what is
 * committed now and what this very command added.
 */
static int32
search(StoreRel *table, const char *index_name, uint64 digest, InternMatch match, void *content)
{
	Relation index = index_open(store_index_oid(index_name), AccessShareLock);
	IndexScanDesc scan = compat_index_beginscan(table->rel, index, SnapshotSelf, 1);
	ScanKeyData key;
	int32 id = 0;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) digest));
	index_rescan(scan, &key, 1, NULL, 0);
	while (id == 0 && index_getnext_slot(scan, ForwardScanDirection, table->out))
	{
		bool isnull;

		if (match(table->out, content))
			id = DatumGetInt32(slot_getattr(table->out, 1, &isnull));
	}
	index_endscan(scan);
	index_close(index, AccessShareLock);
	ExecClearTuple(table->out);
	return id;
}

static char *
slot_text(TupleTableSlot *slot, int column)
{
	bool isnull;

	return TextDatumGetCString(slot_getattr(slot, column, &isnull));
}

/* Whether two arrays of text hold the same bytes. */
static bool
same_array(ArrayType *a, ArrayType *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Whether a stored lane is of chunks; none is where the tables do not know of them yet. */
static bool
slot_chunks(TupleTableSlot *slot)
{
	bool isnull;
	Datum value = store_column(slot, LANE_CHUNKS, &isnull);

	return !isnull && DatumGetBool(value);
}

static bool
lane_matches(TupleTableSlot *slot, void *content)
{
	Lane *lane = content;
	bool isnull;

	return slot_chunks(slot) == lane->chunks &&
		   DatumGetInt32(slot_getattr(slot, LANE_FUNCTION_ID, &isnull)) == lane->function_id &&
		   strcmp(slot_text(slot, LANE_ROLE), lane->role) == 0 &&
		   strcmp(slot_text(slot, LANE_QUEUE), lane->queue) == 0 &&
		   same_array(DatumGetArrayTypeP(slot_getattr(slot, LANE_TAGS, &isnull)), lane->tags);
}

static void
remember_lane(const Lane *lane)
{
	bool found;
	Lane *entry = hash_search(lanes, &lane->id, HASH_ENTER, &found);
	MemoryContext old;

	if (found)
		return;
	*entry = *lane;
	old = MemoryContextSwitchTo(intern_cxt);
	entry->queue = pstrdup(lane->queue);
	entry->tags = DatumGetArrayTypePCopy(PointerGetDatum(lane->tags));
	MemoryContextSwitchTo(old);
}

/* The id of the lane with the same content but for its id; tags are sorted and unique. */
int32
lane_intern_like(Store *store, const Lane *like)
{
	StoreRel *table;
	Lane lane = {.function_id = like->function_id,
				 .queue = like->queue,
				 .tags = like->tags,
				 .chunks = like->chunks};
	uint64 digest;
	InternedId *entry;
	bool found;

	prepare_caches();
	strlcpy(lane.role, like->role, NAMEDATALEN);
	digest = mix(
		mix(mix(lane.function_id, lane.role, strlen(lane.role)), lane.queue, strlen(lane.queue)),
		lane.tags, VARSIZE(lane.tags));
	if (lane.chunks)
		digest = mix(digest, "chunks", strlen("chunks"));

	entry = hash_search(lane_ids, &digest, HASH_FIND, NULL);
	if (entry != NULL)
	{
		const Lane *known = lane_get(store, entry->id);

		if (known->function_id == lane.function_id && known->chunks == lane.chunks &&
			strcmp(known->role, lane.role) == 0 && strcmp(known->queue, lane.queue) == 0 &&
			same_array(known->tags, lane.tags))
			return entry->id;
	}

	table = store_table(store, STORE_LANE);
	lane.id = search(table, "lane_digest_idx", digest, lane_matches, &lane);
	if (lane.id == 0)
	{
		Datum values[LANE_COLUMNS];
		bool nulls[LANE_COLUMNS] = {0};

		lane.id = store_next_small_id();
		values[LANE_ID - 1] = Int32GetDatum(lane.id);
		values[LANE_DIGEST - 1] = Int64GetDatum((int64) digest);
		values[LANE_ROLE - 1] = CStringGetTextDatum(lane.role);
		values[LANE_FUNCTION_ID - 1] = Int32GetDatum(lane.function_id);
		values[LANE_QUEUE - 1] = CStringGetTextDatum(lane.queue);
		values[LANE_TAGS - 1] = PointerGetDatum(lane.tags);
		values[LANE_CHUNKS - 1] = BoolGetDatum(lane.chunks);
		store_insert(store, table, values, nulls);
		unsure = true;
	}
	else if (!unsure)
	{
		/* SnapshotSelf also finds what we added ourselves, when the cache was lost */
		unsure = GetTopTransactionIdIfAny() != InvalidTransactionId;
	}
	remember_lane(&lane);
	entry = hash_search(lane_ids, &digest, HASH_ENTER, &found);
	entry->id = lane.id;
	return lane.id;
}

/* The id of the lane with this content, of ordinary tasks; tags are sorted and unique. */
int32
lane_intern(Store *store, const char *role, int32 function_id, const char *queue, ArrayType *tags)
{
	Lane lane = {.function_id = function_id, .queue = unconstify(char *, queue), .tags = tags};

	strlcpy(lane.role, role, NAMEDATALEN);
	return lane_intern_like(store, &lane);
}

static int32
lane_for(Store *store, int32 id, bool chunks)
{
	Lane lane = *lane_get(store, id);

	if (lane.chunks == chunks)
		return id;
	lane.chunks = chunks;
	return lane_intern_like(store, &lane);
}

/* The id of the lane that chunks of a lane's maps stand in. */
int32
lane_for_chunks(Store *store, int32 id)
{
	return lane_for(store, id, true);
}

/* The other way round. */
int32
lane_for_tasks(Store *store, int32 id)
{
	return lane_for(store, id, false);
}

/*
 * The lane of this id, or NULL if it is not, or not yet, there. Valid until the next
 * abort of a transaction or subtransaction.
 */
const Lane *
lane_find(Store *store, int32 id)
{
	Lane *entry;
	StoreRel *table;
	ScanKeyData key;
	Lane lane = {.id = id};
	bool isnull;

	prepare_caches();
	entry = hash_search(lanes, &id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	table = store_table(store, STORE_LANE);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	if (!store_find(table, SnapshotSelf, &key, 1))
		return NULL;
	lane.function_id = DatumGetInt32(slot_getattr(table->out, LANE_FUNCTION_ID, &isnull));
	strlcpy(lane.role, slot_text(table->out, LANE_ROLE), NAMEDATALEN);
	lane.queue = slot_text(table->out, LANE_QUEUE);
	lane.tags = DatumGetArrayTypeP(slot_getattr(table->out, LANE_TAGS, &isnull));
	lane.chunks = slot_chunks(table->out);
	remember_lane(&lane);
	if (GetTopTransactionIdIfAny() != InvalidTransactionId)
		unsure = true;
	ExecClearTuple(table->out);
	return hash_search(lanes, &id, HASH_FIND, NULL);
}

/* The lane of an id that a row refers to. */
const Lane *
lane_get(Store *store, int32 id)
{
	const Lane *lane = lane_find(store, id);

	if (lane == NULL)
		elog(ERROR, "lane %d does not exist", id);
	return lane;
}

/* The role that has the lane's name now; InvalidOid if there is none. */
Oid
lane_role(const Lane *lane)
{
	Lane *entry = unconstify(Lane *, lane);

	if (entry->role_generation != role_generation)
	{
		/* first, for looking it up may take a change in */
		entry->role_generation = role_generation;
		entry->role_oid = get_role_oid(lane->role, true);
	}
	return entry->role_oid;
}

static bool
policy_matches(TupleTableSlot *slot, void *content)
{
	Jsonb *policy = content;
	bool isnull;
	Jsonb *stored = DatumGetJsonbP(slot_getattr(slot, POLICY_POLICY, &isnull));

	return VARSIZE(stored) == VARSIZE(policy) && memcmp(stored, policy, VARSIZE(policy)) == 0;
}

/* The id of a policy with this canonical content. */
int32
policy_intern(Store *store, Jsonb *policy)
{
	StoreRel *table;
	uint64 digest;
	InternedId *entry;
	int32 id;
	bool found;

	prepare_caches();
	digest = mix(0, policy, VARSIZE(policy));
	entry = hash_search(policy_ids, &digest, HASH_FIND, NULL);
	if (entry != NULL && entry->check_id == (int32) VARSIZE(policy))
		return entry->id;

	table = store_table(store, STORE_POLICY);
	id = search(table, "retry_policy_digest_idx", digest, policy_matches, policy);
	if (id == 0)
	{
		Datum values[POLICY_COLUMNS];
		bool nulls[POLICY_COLUMNS] = {0};

		id = store_next_small_id();
		values[POLICY_ID - 1] = Int32GetDatum(id);
		values[POLICY_DIGEST - 1] = Int64GetDatum((int64) digest);
		values[POLICY_POLICY - 1] = JsonbPGetDatum(policy);
		store_insert(store, table, values, nulls);
		unsure = true;
	}
	else if (!unsure)
		unsure = GetTopTransactionIdIfAny() != InvalidTransactionId;
	entry = hash_search(policy_ids, &digest, HASH_ENTER, &found);
	entry->id = id;
	entry->check_id = (int32) VARSIZE(policy);
	return id;
}

static CachedPolicy *
cached_policy(Store *store, int32 id)
{
	CachedPolicy *entry;
	StoreRel *table;
	ScanKeyData key;
	MemoryContext old;
	Jsonb *json;
	RetryPolicy *policy;
	bool found;
	bool isnull;

	prepare_caches();
	entry = hash_search(policies, &id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	table = store_table(store, STORE_POLICY);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	if (!store_find(table, SnapshotSelf, &key, 1))
		elog(ERROR, "retry policy %d does not exist", id);
	old = MemoryContextSwitchTo(intern_cxt);
	json = DatumGetJsonbPCopy(slot_getattr(table->out, POLICY_POLICY, &isnull));
	policy = retry_parse(json, &retry_defaults);
	MemoryContextSwitchTo(old);
	if (GetTopTransactionIdIfAny() != InvalidTransactionId)
		unsure = true;
	ExecClearTuple(table->out);
	entry = hash_search(policies, &id, HASH_ENTER, &found);
	entry->policy = policy;
	entry->json = json;
	return entry;
}

/* The policy of an id that a row refers to. Valid as long as a lane is. */
const RetryPolicy *
policy_get(Store *store, int32 id)
{
	return cached_policy(store, id)->policy;
}

Jsonb *
policy_jsonb(Store *store, int32 id)
{
	return cached_policy(store, id)->json;
}
