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
"""
