"""What this process has really sent: the kernel's own count for each of its TCP connections."""

import os
import socket
import struct

# struct tcp_info of linux/tcp.h: tcpi_bytes_sent, since Linux 4.19.
BYTES_SENT_OFFSET = 200
TCP_INFO_BYTES = 232


def sent_bytes() -> int:
    """Sum the payload bytes sent over all TCP connections that are open now."""
    return sum(_sent(int(number)) for number in os.listdir("/proc/self/fd"))


def _sent(descriptor: int) -> int:
    try:
        copy = os.dup(descriptor)
    except OSError:
        return 0  # The listing's own descriptor, closed again.
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return 0
    with connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return 0
        if connection.type != socket.SOCK_STREAM:
            return 0
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        (count,) = struct.unpack_from("<Q", info, BYTES_SENT_OFFSET)
        return int(count)
