#!/bin/sh
# Verifies a webhook of Posthorn with openssl. The raw body comes on stdin; the exit code is 0 where it is genuine.
#
#   verify.sh standard SECRET ID TIMESTAMP SIGNATURES < body      webhook-id, webhook-timestamp, webhook-signature
#   verify.sh body SECRET SIGNATURE < body                        X-Grantiva-Signature, X-Gravv-Signature, …
#   verify.sh timestamped SECRET TIMESTAMP SIGNATURE < body       X-Grantex-Timestamp, X-Grantex-Signature-V2
#
# For looking into one request by hand, not for a server: others on the machine see the secret among the processes,
# and the comparison takes longer the more is right.
set -u
format=${1:-} secret=${2:-}

to_hex() { od -An -v -tx1 | tr -d ' \n'; }
hmac() { openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary; }
is_fresh() {
  case $1 in '' | *[!0-9]* | ?????????????*) return 1 ;; esac
  age=$((${NOW:-$(date +%s)} - $1))
  [ "$age" -le 300 ] && [ "$age" -ge -300 ]
}

case $format in
  standard) key=$(printf %s "${secret#whsec_}" | openssl base64 -d -A 2>/dev/null | to_hex) ;;
  body | timestamped) key=$(printf %s "$secret" | to_hex) ;;
  *) echo "usage: verify.sh standard|body|timestamped SECRET …" >&2; exit 2 ;;
esac
[ -n "$key" ] || { echo 'the secret is empty or not base64' >&2; exit 2; }

# While secrets rotate a header may hold several signatures, parted by spaces. One that came twice is not ours, and
# servers join the two with a comma.
case $format in
  standard)
    is_fresh "$4" || exit 1
    expected=v1,$({ printf '%s.%s.' "$3" "$4"; cat; } | hmac | openssl base64 -A)
    case " $5 " in *', '*) ;; *" $expected "*) exit 0 ;; esac
    ;;
  body)
    expected=$(hmac | to_hex)
    # Gravv sends the hex alone.
    case " $3 " in *', '*) ;; *" sha256=$expected "* | *" $expected "*) exit 0 ;; esac
    ;;
  timestamped)
    is_fresh "$3" || exit 1
    expected=sha256=$({ printf '%s.' "$3"; cat; } | hmac | to_hex)
    case " $4 " in *', '*) ;; *" $expected "*) exit 0 ;; esac
    ;;
esac
exit 1
