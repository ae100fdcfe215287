"""Sends each line of its input, a request in hexadecimal, to a witness, and says what status it got.

`python submitter.py PORT`
"""

import http.client
import sys

for line in sys.stdin:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    connection.request("POST", "/add-checkpoint", bytes.fromhex(line.strip()))
    print(connection.getresponse().status, flush=True)
    connection.close()
