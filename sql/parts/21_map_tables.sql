-- Storage of maps. extension/map_row.h numbers the columns.

-- One row a map, beside its task. concurrency_limit: items in flight at once. started: chunks that
-- were made tasks so far, the first ones. at_once: all items of a chunk are in flight at once,
-- else one after the other. collect: failed items do not fail the map. star: items are argument lists.
-- peak: most items in flight at once, known at the end. lane_id: the task's.
CREATE TABLE stent.map (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    items bigint NOT NULL,
    chunks integer NOT NULL,
    started integer NOT NULL,
    chunk_size integer NOT NULL,
    concurrency_limit integer NOT NULL,
    collect boolean NOT NULL,
    star boolean NOT NULL,
    at_once boolean NOT NULL,
    peak integer NOT NULL,
    lane_id integer NOT NULL,
    CONSTRAINT map_pkey PRIMARY KEY (id)
);
CREATE INDEX map_execution_id_idx ON stent.map (execution_id);
COMMENT ON TABLE stent.map IS 'private: maps: options and what is known of all their chunks';

-- One row a chunk: its items, and what has become of them. task_id: the task that runs
-- it, once it was made. results: an array as long as the items, null where an item has
-- no result. open: places in the chunk of items to be run again; null: before the first
-- attempt all, after the last (finished_at) none.
CREATE TABLE stent.chunk (
    map_id bigint NOT NULL,
    number integer NOT NULL,
    first_item bigint NOT NULL,
    items integer NOT NULL,
    task_id bigint NOT NULL,
    attempt smallint NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    hits integer NOT NULL,
    started_at timestamp,
    finished_at timestamp,
    open integer[],
    args jsonb,
    args_ref bigint,
    results jsonb,
    results_ref bigint,
    CONSTRAINT chunk_pkey PRIMARY KEY (map_id, number)
);
CREATE INDEX chunk_task_id_idx ON stent.chunk (task_id);
COMMENT ON TABLE stent.chunk IS 'private: chunks of maps: items, progress and results';

-- Items that failed for good; number counts from 0 through all chunks. task_id: the dead
-- letter that stands for the item; its chunk's task, where that came to no good end. replaced:
-- it was replayed, and its result took the item's place before the map ended.
CREATE TABLE stent.item (
    map_id bigint NOT NULL,
    number bigint NOT NULL,
    attempt smallint NOT NULL,
    task_id bigint NOT NULL,
    error jsonb NOT NULL,
    replaced boolean NOT NULL,
    CONSTRAINT item_pkey PRIMARY KEY (map_id, number)
);
COMMENT ON TABLE stent.item IS 'private: items of maps that failed for good';

SELECT pg_catalog.pg_extension_config_dump('stent.map', '');
SELECT pg_catalog.pg_extension_config_dump('stent.chunk', '');
SELECT pg_catalog.pg_extension_config_dump('stent.item', '');
