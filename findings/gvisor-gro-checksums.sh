#!/bin/bash
# gVisor's GRO checks each packet's checksums and says so in the packet; the interface that it hands it to forgets that.
#
# Guessed: a link endpoint that gives arriving packets to gro.GRO needs to check nothing. GRO verifies the IP and TCP checksums
# itself, sets PacketBuffer.RXChecksumValidated for whoever comes after it, and puts only such packets together.
# Seen: gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237. stack.NIC sets RXChecksumValidated anew, from whether the endpoint
# has CapabilityRXChecksumOffload. Without it what was put together is checked once more, cannot pass (its checksums are those
# of its first part), and is dropped: small exchanges work, a transfer gets through by retransmissions of single segments, some
# kilobytes a second. Over IPv4 it shows as malformed packets of IP; TCP counts no bad checksum.
# It matters to whoever writes a TUN side for netstack: with GRO the endpoint has to claim the capability, and then to check what GRO
# does not (UDP, ICMP), since nobody else does any more.
#
# Needs Go 1.26.3 or newer, and its module proxy. Exit status 1 when the behaviour is another one, 2 when it cannot be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
version=v0.0.0-20260905035102-160fafc42237
echo "gvisor.dev/gvisor $version, $(go version)"
cat >go.mod <<MOD
module try

go 1.26.3

require gvisor.dev/gvisor $version
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const size = 4 << 20

// endpoint remembers to whom its packets go: GRO hands them over by itself.
type endpoint struct {
	*channel.Endpoint
	dispatcher stack.NetworkDispatcher
}

func (e *endpoint) Attach(d stack.NetworkDispatcher) { e.dispatcher = d; e.Endpoint.Attach(d) }

func newStack(address tcpip.Address, capabilities stack.LinkEndpointCapabilities) (*stack.Stack, *endpoint) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	e := &endpoint{Endpoint: channel.New(4096, 1500, "")}
	e.LinkEPCapabilities = capabilities
	s.CreateNIC(1, e)
	s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address.WithPrefix()}, stack.AddressProperties{})
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	return s, e
}

// carry gives what leaves one stack to the other, in batches through GRO.
func carry(from, to *endpoint) {
	for {
		pkt := from.Read()
		if pkt == nil {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		g := gro.GRO{Dispatcher: to.dispatcher}
		g.Init(true)
		for n := 0; pkt != nil && n < 64; n++ {
			view := pkt.ToView()
			pkt.DecRef()
			arriving := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(view.AsSlice())})
			arriving.NetworkProtocolNumber = ipv4.ProtocolNumber
			g.Enqueue(arriving)
			arriving.DecRef()
			pkt = from.Read()
		}
		g.Flush()
	}
}

// seen is what has arrived within two seconds, and what the receiver has counted.
type seen struct {
	bytes                   int64
	malformed, badChecksums uint64
}

func transfer(capabilities stack.LinkEndpointCapabilities) seen {
	near, nearLink := newStack(tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), 0)
	far, farLink := newStack(tcpip.AddrFrom4([4]byte{10, 0, 0, 2}), capabilities)
	go carry(nearLink, farLink)
	go carry(farLink, nearLink)
	to := tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4([4]byte{10, 0, 0, 2}), Port: 80}
	listener, err := gonet.ListenTCP(far, to, ipv4.ProtocolNumber)
	if err != nil {
		panic(err)
	}
	go func() {
		conn, err := gonet.DialTCP(near, to, ipv4.ProtocolNumber)
		if err != nil {
			panic(err)
		}
		conn.Write(make([]byte, size))
	}()
	conn, err := listener.Accept()
	if err != nil {
		panic(err)
	}
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, _ := io.CopyN(io.Discard, conn, size)
	stats := far.Stats()
	return seen{n, stats.IP.MalformedPacketsReceived.Value(), stats.TCP.ChecksumErrors.Value()}
}

func main() {
	without, with := transfer(0), transfer(stack.CapabilityRXChecksumOffload)
	fmt.Printf("of %d bytes in 2 s: without CapabilityRXChecksumOffload %+v, with it %+v\n", size, without, with)
	isDropped := without.bytes < size/20 && without.malformed > 0 && without.badChecksums == 0
	if isDropped && with == (seen{bytes: size}) {
		fmt.Println("as described")
		return
	}
	fmt.Println("NOT as described")
	os.Exit(1)
}
GO
go mod tidy 2>tidy.log || { cat tidy.log >&2 && exit 2; }
go build -o try . || exit 2
./try
