#!/usr/bin/env bash
# Captures real programs talking to each other in two network namespaces: xtask/sample.sh OUT.pcap
#
# DNS (dnsmasq, dig), HTTP and HTTPS with TLS 1.2 and 1.3 (nginx, curl), SSH (OpenSSH), over IPv4, IPv6 and inside VXLAN.
# Needs root, iproute2, tcpdump and those programs. Nothing of it leaves the machine; all keys are made for it and thrown away.
set -euo pipefail
out=$(realpath -m "${1:?usage: xtask/sample.sh OUT.pcap}")
client=weir-client-$$ server=weir-server-$$
work=$(mktemp -d)
chmod 755 "$work"
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for file in nginx.pid dnsmasq.pid sshd.pid; do
        if [ -s "$work/$file" ]; then kill "$(cat "$work/$file")" 2>/dev/null || true; fi
    done
    ip netns del "$client" 2>/dev/null || true
    ip netns del "$server" 2>/dev/null || true
    rm -rf "$work" "/etc/netns/$client"
}
trap cleanup EXIT

on() { ip netns exec "$@"; }

network() {
    ip netns add "$client"
    ip netns add "$server"
    on "$client" ip link add eth0 type veth peer name eth0 netns "$server"
    local ns host
    for ns in "$client:1" "$server:2"; do
        host=${ns##*:} ns=${ns%:*}
        on "$ns" ip link set lo up
        on "$ns" ip addr add "192.0.2.$host/24" dev eth0
        on "$ns" ip addr add "2001:db8::$host/64" dev eth0 nodad
        on "$ns" ip link set eth0 up
        # A card that leaves segments and checksums to itself would show packets that no wire has seen.
        on "$ns" ethtool -K eth0 tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
        on "$ns" ip link add overlay type vxlan id 42 remote "192.0.2.$((3 - host))" dstport 4789 dev eth0
        on "$ns" ip addr add "10.42.0.$host/24" dev overlay
        on "$ns" ip link set overlay up
    done
    mkdir -p "/etc/netns/$client"
    printf 'nameserver 192.0.2.2\n' >"/etc/netns/$client/resolv.conf"
}

servers() {
    mkdir "$work/www"
    printf '<!doctype html>\n<title>weir</title>\n<p>A weir measures a river.\n' >"$work/www/index.html"
    head -c 20000 /dev/urandom | base64 >"$work/www/data.txt"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=www.example.test \
        -addext 'subjectAltName=DNS:www.example.test' -keyout "$work/key" -out "$work/cert" 2>/dev/null
    cat >"$work/nginx.conf" <<CONF
pid $work/nginx.pid;
error_log /dev/null;
events { worker_connections 64; }
http {
    types { text/html html; text/plain txt; }
    access_log off;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    gzip on; gzip_types text/plain; root $work/www;
    server {
        listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl;
        ssl_certificate $work/cert; ssl_certificate_key $work/key; ssl_protocols TLSv1.2 TLSv1.3;
    }
}
CONF
    on "$server" nginx -c "$work/nginx.conf" 2>/dev/null
    on "$server" dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file="$work/dnsmasq.pid" \
        --address=/www.example.test/192.0.2.2 --address=/www.example.test/2001:db8::2 --address=/inside.example.test/10.42.0.2 \
        --local=/test/ --txt-record=example.test,weir --mx-host=example.test,www.example.test,10
    ssh-keygen -q -t ed25519 -N '' -f "$work/host"
    ssh-keygen -q -t ed25519 -N '' -f "$work/user"
    cp "$work/user.pub" "$work/authorized"
    mkdir -p /run/sshd
    on "$server" "$(command -v sshd)" -f /dev/null -h "$work/host" -o "PidFile=$work/sshd.pid" -o StrictModes=no \
        -o "AuthorizedKeysFile=$work/authorized" -o PermitRootLogin=yes -o UsePAM=no -o ListenAddress=0.0.0.0 -o ListenAddress=::
}

traffic() {
    local curl=(on "$client" curl --silent --output /dev/null --max-time 5 --cacert "$work/cert")
    local dig=(on "$client" dig +tries=1 +time=2)
    local ssh=(on "$client" ssh -F /dev/null -i "$work/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)
    on "$client" ping -q -c 1 192.0.2.2 >/dev/null || true
    "${dig[@]}" @192.0.2.2 example.test TXT >/dev/null
    "${dig[@]}" @2001:db8::2 example.test MX >/dev/null
    "${dig[@]}" @192.0.2.2 +tcp www.example.test AAAA >/dev/null
    "${dig[@]}" @192.0.2.2 missing.example.test A >/dev/null
    "${curl[@]}" -4 http://www.example.test/ http://www.example.test/missing >/dev/null
    "${curl[@]}" -6 --compressed http://www.example.test/data.txt
    "${curl[@]}" -4 --tls-max 1.2 https://www.example.test/
    "${curl[@]}" -6 --tlsv1.3 https://www.example.test/data.txt
    "${ssh[@]}" root@192.0.2.2 true
    "${curl[@]}" -4 http://inside.example.test/
    "${dig[@]}" @10.42.0.2 www.example.test A >/dev/null
    "${ssh[@]}" root@10.42.0.2 true
    # A port where nobody listens.
    "${curl[@]}" -4 http://www.example.test:81/ || true
}

network
servers
sleep 1
on "$client" tcpdump --immediate-mode -q -U -Z root -i eth0 -w "$out" 2>/dev/null &
pids+=($!)
sleep 1
traffic
sleep 1
