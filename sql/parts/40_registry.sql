CREATE FUNCTION stent.register(
    name text,
    handler regprocedure DEFAULT NULL,
    queue text DEFAULT 'default',
    priority integer DEFAULT 0,
    tags text[] DEFAULT '{}',
    max_concurrent integer DEFAULT NULL,
    rate_limit integer DEFAULT NULL,
    rate_interval interval DEFAULT NULL,
    retry jsonb DEFAULT NULL,
    timeout interval DEFAULT NULL,
    max_duration interval DEFAULT NULL,
    cached boolean DEFAULT false,
    cache_ttl interval DEFAULT NULL,
    idempotent boolean DEFAULT false,
    version text DEFAULT NULL,
    rate_burst integer DEFAULT NULL,
    max_per_key integer DEFAULT 1)
RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_register';
COMMENT ON FUNCTION stent.register(text, regprocedure, text, integer, text[], integer, integer, interval, jsonb, interval, interval, boolean, interval, boolean, text, integer, integer) IS
  'registers a function, or replaces it: tasks dispatched before keep their queue, priority, tags, retry policy and timeout and run the new handler under the new limits. handler: f(), f(jsonb) or one with named parameters; NULL means run by external workers. Names have 1 to 200 bytes, priority is -100 to 100. max_concurrent: at most so many run at the same time, in all sessions. rate_limit: at most so many start in rate_interval (default 1 s), and rate_burst (default rate_limit) at once after a pause. max_per_key: at most so many of one concurrency_key run at the same time. idempotent: a call with the same arguments is made once and its task remembered for retention; cached: the same for cache_ttl after it completed; another version is another call. 42883 or 42P13 for a handler that cannot serve; 22023 for a limit that is not positive, a rate_interval that is not 1 ms to 366 days or that stands without rate_limit, cache_ttl without cached; 54000 for more than 16 tags';

CREATE FUNCTION stent.unregister(name text) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_unregister';
COMMENT ON FUNCTION stent.unregister(text) IS
  'refuses further dispatches of the function; tasks already dispatched still run. 42704 if it is not registered';
