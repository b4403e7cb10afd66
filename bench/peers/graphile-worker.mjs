// Drives graphile-worker for bench/run, as its documentation's page on performance
// configures it. The connection comes from PGHOST, PGUSER and PGDATABASE.
//
//   prepare             makes its schema
//   load <n>            adds jobs, with the payload of every task measured
//   drain <n>           runs so many, prints the seconds from the first job's start to the
//                       last one's deletion
//   latency <n>         runs so many as they come; prints each one's milliseconds from the
//                       server's clock in its payload to its start
import pg from "pg";
import { Logger, run, runMigrations } from "graphile-worker";

const CONCURRENT = 24;
const [command, argument] = process.argv.slice(2);
const n = Number(argument);
const pgPool = new pg.Pool({ max: CONCURRENT + 1 });
pgPool.on("error", console.error);
pgPool.on("connect", (client) => client.on("error", console.error));
const options = (batching) => ({
    pgPool,
    noHandleSignals: true,
    crontab: "",
    logger: new Logger(() => (level, message) => {
        if (level === "error" || level === "warning") console.error(message);
    }),
    preset: {
        worker: {
            concurrentJobs: CONCURRENT,
            maxPoolSize: CONCURRENT + 1,
            ...(batching ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
        },
    },
});

// Until n jobs were started, and what they wrote is committed.
async function work(batching, started) {
    let count = 0;
    const enough = Promise.withResolvers();
    const runner = await run({
        ...options(batching),
        taskList: {
            trivial: async (payload) => {
                started(payload, count);
                if (++count === n) enough.resolve();
            },
        },
    });
    if (n > 0) await enough.promise;
    await runner.stop();
}

switch (command) {
    case "prepare":
        await runMigrations(options(true));
        break;
    case "load":
        await pgPool.query(
            `SELECT count(*) FROM graphile_worker.add_jobs(
                 (SELECT array_agg(json_populate_record(NULL::graphile_worker.job_spec,
                      json_build_object('identifier', 'trivial', 'payload', public.payload(i))))
                  FROM generate_series(1, $1::integer) i))`,
            [n],
        );
        break;
    case "drain": {
        let first;
        await work(true, () => (first ??= performance.now()));
        console.log((performance.now() - first) / 1000);
        break;
    }
    case "latency": {
        const waits = [];
        await work(false, (payload) => waits.push(performance.timeOrigin + performance.now() - payload.at));
        console.log(waits.join("\n"));
        break;
    }
    default:
        throw new Error(`unknown command "${command}"`);
}
await pgPool.end();
