// Drives pg-boss for bench/run: a queue with a table of its own, no order, fetch and
// complete in batches. What its work() does is the same, but between two batches it rests
// half a second at least. The connection comes from PGHOST, PGUSER and PGDATABASE.
//
//   prepare             makes its schema and the queue
//   load <n>            adds jobs, with the payload of every task measured
//   drain <n>           runs so many, prints the seconds from the first job's start to the
//                       last one's completion
import { PgBoss } from "pg-boss";

const QUEUE = "trivial";
const LOOPS = 2;
const BATCH = 10000;
const [command, argument] = process.argv.slice(2);
const n = Number(argument);
const boss = new PgBoss({
    host: process.env.PGHOST,
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
    max: LOOPS + 1,
    supervise: false,
    schedule: false,
    migrate: command === "prepare",
});
boss.on("error", console.error);
await boss.start();

switch (command) {
    case "prepare":
        await boss.createQueue(QUEUE, { partition: true });
        break;
    case "load":
        for (let i = 1; i <= n; i += 10000) {
            const size = Math.min(10000, n - i + 1);
            await boss.insert(
                QUEUE,
                Array.from({ length: size }, (_, k) => ({ data: { n: i + k, text: "x".repeat(68) } })),
            );
        }
        break;
    case "drain": {
        let first;
        let count = 0;
        const loop = async () => {
            while (count < n) {
                const jobs = await boss.fetch(QUEUE, { batchSize: BATCH, priority: false, orderByCreatedOn: false });
                if (jobs.length === 0) {
                    break;
                }
                first ??= performance.now();
                count += jobs.length;
                await boss.complete(QUEUE, jobs.map((job) => job.id));
            }
        };
        await Promise.all(Array.from({ length: LOOPS }, loop));
        console.log((performance.now() - first) / 1000);
        if (count !== n) {
            throw new Error(`${count} jobs, should be ${n}`);
        }
        break;
    }
    default:
        throw new Error(`unknown command "${command}"`);
}
await boss.stop({ graceful: false });
