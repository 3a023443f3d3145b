"""How jobs ping a monitor, filled in: for cron, shells, systemd, PowerShell and Kubernetes.

A ping takes at most five seconds, and one that fails changes nothing for the job.
``tests/acceptance/test_snippets.py`` runs them.
"""

_CURL = "curl -fsS -m 5 -o /dev/null"

_PLAIN = "{curl} {address}"

_CRON = """\
# crontab -e. Replace sleep 1 with your job. Times are in {timezone}; cron daemons
# without CRON_TZ (cronie has it) use the time zone of the machine.
CRON_TZ={timezone}
{crontab} {curl} {address}/start; sleep 1; {curl} {address}/$?"""

_SHELL = """\
#!/bin/sh
ping={address}
{curl} "$ping/start"
# Replace sleep 1 with your job:
output=$(sleep 1 2>&1)
status=$?
printf '%s\\n' "$output"
printf '%s' "$output" | tail -c 100000 | {curl} --data-binary @- "$ping/$status"
exit $status"""

_SYSTEMD = """\
# systemctl edit YOUR-JOB.service
[Service]
ExecStartPre=-/usr/bin/{curl} {address}/start
ExecStopPost=-/bin/sh -c 'case $$EXIT_STATUS in 0) end=0 ;; *) end=fail ;; esac; \\
    {curl} {address}/$$end'"""

_POWERSHELL = """\
$ping = "{address}"
try {{ Invoke-RestMethod -TimeoutSec 5 "$ping/start" | Out-Null }} catch {{ }}
# Replace the next line with your job:
cmd /c "exit 0"
$status = $LASTEXITCODE
$end = if ($status -eq 0) {{ "0" }} else {{ "fail" }}
try {{ Invoke-RestMethod -TimeoutSec 5 "$ping/$end" | Out-Null }} catch {{ }}
exit $status"""

_KUBERNETES = """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {kubernetes_name}
spec:
  schedule: "{crontab}"
  timeZone: {timezone}
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: job
              # Your image, with curl in it.
              image: curlimages/curl
              command:
                - sh
                - -c
                - |
                  {curl} {address}/start
                  # Replace sleep 1 with your job:
                  sleep 1
                  status=$?
                  {curl} {address}/$status
                  exit $status"""
_MAX_KUBERNETES_NAME = 52


def make_ping_snippets(
    *, address: str, slug: str, crontab: str | None, timezone: str
) -> list[tuple[str, str]]:
    """Return title and text of each way to ping the monitor at *address*.

    *crontab* is the monitor's schedule as cron daemons know it; None where they have no words for
    it, and then the ways that need one are left out.
    """
    values = {
        "curl": _CURL,
        "address": address,
        "crontab": crontab,
        "timezone": timezone,
        "kubernetes_name": slug.replace("_", "-")[:_MAX_KUBERNETES_NAME].strip("-") or "job",
    }
    snippets = [
        ("One ping when it has succeeded", _PLAIN),
        *([("cron", _CRON)] if crontab else []),
        ("A shell script", _SHELL),
        ("A systemd service", _SYSTEMD),
        ("PowerShell", _POWERSHELL),
        *([("Kubernetes", _KUBERNETES)] if crontab else []),
    ]
    return [(title, text.format(**values)) for title, text in snippets]
