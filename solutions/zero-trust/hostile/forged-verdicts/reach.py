import socket
import urllib.request

assert Path("/opt/course/labs").is_dir(), "This is an attack: it runs in the cage only."

for address in (("192.0.2.53", 53), ("198.51.100.80", 80), ("127.0.0.1", 22), ("127.0.0.1", 8888)):
    try:
        socket.create_connection(address, timeout=0.2).close()
        print("reached", address)
    except OSError as error:
        print(address, error)
try:
    print(urllib.request.urlopen("http://exfiltration.mod209.example", timeout=0.5).read(100))
except OSError as error:
    print(error)
