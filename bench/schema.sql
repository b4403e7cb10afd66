-- What bench/run measures: a trivial task, and tables that do the same work
-- without an engine.
CREATE EXTENSION stent;

-- About 100 bytes of jsonb, like the payloads of every row measured.
CREATE FUNCTION public.payload(n bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('n', n, 'text', repeat('x', 68))
$$;

CREATE FUNCTION public.payloads(n integer) RETURNS jsonb[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(public.payload(i)) FROM generate_series(1, n) i
$$;

CREATE FUNCTION public.trivial(jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_object('n', ($1 ->> 'n')::integer + 1);
END
$$;
SELECT stent.register('trivial', 'public.trivial(jsonb)');
SELECT stent.register('later', 'public.trivial(jsonb)', priority => -10);

-- Payloads to insert at once, stored so that reading them costs nothing.
CREATE TABLE public.batch (size integer PRIMARY KEY, payloads jsonb[]);
ALTER TABLE public.batch ALTER payloads SET STORAGE EXTERNAL;
INSERT INTO public.batch SELECT n, public.payloads(n) FROM unnest(ARRAY[20, 100, 1000]) n;

-- What dispatching transactions do besides: their rows tell when they committed.
CREATE TABLE public.effect (id bigint PRIMARY KEY);

-- Yardstick for dispatch, and for the drain in one step.
CREATE TABLE public.one_step (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload jsonb NOT NULL
);

-- Yardstick for the drain in two steps. Only waiting rows are in its second
-- index, so that claiming writes as little as it can.
CREATE TABLE public.two_step (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claimed boolean NOT NULL DEFAULT false,
    payload jsonb NOT NULL
);
CREATE INDEX ON public.two_step (id) WHERE NOT claimed;
