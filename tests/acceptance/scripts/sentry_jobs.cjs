// Jobs that Sentry's SDK for Node.js reports, unmodified.

const Sentry = require(`${process.env.SENTRY_HOME}/node_modules/@sentry/node`);

const HOURLY = {
  schedule: { type: "crontab", value: "0 * * * *" },
  checkinMargin: 2,
  maxRuntime: 3,
  timezone: "Europe/Paris",
  failureIssueThreshold: 2,
  recoveryThreshold: 3,
};
const MONTHLY = { schedule: { type: "interval", value: 1, unit: "month" } };

Sentry.init({ dsn: process.env.SENTRY_DSN, debug: true, tracesSampleRate: 1 });

async function main() {
  Sentry.withMonitor("node works", () => 1, HOURLY);
  await Sentry.withMonitor("node-async", async () => 1, MONTHLY);
  try {
    Sentry.withMonitor("node_fails", () => JSON.parse("x"), MONTHLY);
  } catch {}
  const checkInId = Sentry.captureCheckIn({ monitorSlug: "node-by-hand", status: "in_progress" }, MONTHLY);
  await Sentry.flush(5000);
  Sentry.captureCheckIn({ monitorSlug: "node-by-hand", status: "error", checkInId, duration: 2 });
  Sentry.captureCheckIn({ monitorSlug: "node-heartbeat", status: "ok", duration: 30 }, MONTHLY);
  Sentry.captureCheckIn({ monitorSlug: "node-unknown", status: "ok" });
  Sentry.captureException(new Error("an error beside"));
  await Sentry.flush(5000);
}

main();
