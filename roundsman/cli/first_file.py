"""What `roundsman init` writes: a systems.yaml that works as it is and explains the rest."""

SYSTEMS = """\
# The systems that agents look at. Params choose one by its name: --param search=prod
#
# ${NAME} and ${NAME:-default} are taken from the environment. A secret must be such a
# reference, or {file: /path}: written out it is refused. Relative paths start at this file.
# After a change:  roundsman doctor
#
# `sandbox: true` marks a system that imports and tests may write to. Leave it out for the
# real ones: agents only read them, and credentials that may only read are enough.

search:
  # A small search on one file of this machine; good enough for a small team.
  local:
    kind: sqlite
    path: search.db

  # prod:
  #   kind: elasticsearch
  #   url: ${ES_HOST:-http://127.0.0.1:9200}
  #   # or, for Elastic Cloud:  cloud_id: ${ES_CLOUD_ID}
  #   api_key: ${ES_API_KEY}
  #   # ca_file: /etc/ssl/our-ca.pem

warehouse:
  # A warehouse on one file of this machine.
  local:
    kind: duckdb
    path: warehouse.duckdb

  # prod:
  #   kind: bigquery
  #   project: ${BQ_PROJECT}
  #   location: EU
  #   # A read that would scan more is refused by BigQuery itself.
  #   maximum_bytes_billed: 10000000000

transform: {}
  # prod:
  #   kind: dbt
  #   project_dir: /srv/dbt
  #   profiles_dir: /srv/dbt
  #   target: prod

notify:
  # Where people are told. This one is a file: one JSON document a line for each message.
  local:
    kind: outbox
    path: outbox.jsonl

  # slack:
  #   kind: slack
  #   url: ${SLACK_WEBHOOK_URL}
  #   # The title in your own words; more in docs/guides/notify.md
  #   # title_template: "{{ severity }}: {{ said }}"
  # mail:
  #   kind: email
  #   host: smtp.example.com
  #   user: roundsman
  #   password: ${SMTP_PASSWORD}
  #   sender: roundsman@example.com
  #   to: [data-team@example.com]
  # hook:
  #   kind: webhook
  #   url: ${WEBHOOK_URL}
  #   secret: ${WEBHOOK_SECRET}
  # pager:
  #   kind: pagerduty
  #   routing_key: ${PAGERDUTY_ROUTING_KEY}
"""
