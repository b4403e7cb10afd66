-- Operation: what an administrator steers.

CREATE FUNCTION stent.adopt() RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_adopt';
COMMENT ON FUNCTION stent.adopt() IS
  'makes this server the one that runs the tasks of this database, which was copied, restored or upgraded; true if it was not before. Make sure that the original does not run them any more. Where stent is not in shared_preload_libraries, the next start with it adopts';

CREATE FUNCTION stent._identity_report() RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_identity_report';
COMMENT ON FUNCTION stent._identity_report() IS 'private: whether this server runs the tasks of this database ("adopted"), and what speaks against it ("why")';
