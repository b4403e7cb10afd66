-- Waking workers that wait for work (extension/wake.c).

CREATE FUNCTION stent.worker_wait(queues text[] DEFAULT NULL) RETURNS interval
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_wait';
COMMENT ON FUNCTION stent.worker_wait(text[]) IS
  'asks to be woken, at once and whatever becomes of the transaction: when something becomes claimable in one of these queues (NULL: in any), NOTIFY stent_work follows, with the queue''s name, or empty: everybody looks. Given once; ask again. The result is how long to sleep at most: 1 s where nobody can notify, else 5 minutes. LISTEN stent_work first and commit that; when idle: worker_wait, then claim, each in a statement of its own; if that is empty, sleep. Payload ''!'': a leased task was cancelled, heartbeat what you hold. 22004 for a NULL in the array, 22023 for an empty array, or a name that is too long or empty';
