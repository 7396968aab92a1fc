// Loads a path that answers each UDP datagram with the same datagram, from many client sockets. It prints one line of JSON.
//
//	udp echo ADDRESS                       answers each datagram with itself
//	udp search ADDRESS FLOWS SIZE SECONDS  looks for the highest rate of which at most 0.1 % is lost, with steps of SECONDS
//	udp load ADDRESS FLOWS SIZE SECONDS RATE   sends RATE datagrams a second and tells how long their answers took
//	udp flood ADDRESS SECONDS RATE         each datagram from an address and a port that sent none before; needs root
//
// A datagram holds the number of its step, its flow, its number in the flow and when it was sent; the rest of it is made of
// the flow's number. An answer that is not of its flow, or not as it was sent, is counted as foreign.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	header      = 24
	largest     = 65535
	buffer      = 4 << 20
	lossAllowed = 0.001
	// Datagrams a second: where the search begins, and where it ends in any case.
	slowest, fastest = 500, 512000
	// The search ends within 2 % of the rate: 2 to the power of 1/32.
	halvings = 5
	// Answers that come at less than this share of the rate are waiting in some queue, which is full if it goes on.
	pace = 0.95
	// Seconds of the rate: a step of the search ends when as much is unanswered, as it would fail in any case.
	hopeless = 0.25
	// How long answers are waited for once everything is sent.
	patience = 300 * time.Millisecond
	// More than this many milliseconds of the rate are never sent at once, however late the sender is.
	catchUp = 3
)

type result struct {
	// Answers a second, until the last one.
	Rate    float64 `json:"rate"`
	Sent    int     `json:"sent"`
	Lost    float64 `json:"lost"`
	Foreign int     `json:"foreign"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
}

type flow struct {
	fd       int
	template []byte
	sent     uint64
	answered []bool
}

type load struct {
	searches bool
	flows    []*flow
	events   int
	step     uint32
	began    time.Time
}

func main() {
	args := os.Args[1:]
	defer func() {
		if problem := recover(); problem != nil {
			fmt.Fprintln(os.Stderr, problem)
			os.Exit(1)
		}
	}()
	switch {
	case len(args) == 2 && args[0] == "echo":
		echo(netip.MustParseAddrPort(args[1]))
	case len(args) == 5 && args[0] == "search":
		print(search(open(args), number(args[4])))
	case len(args) == 6 && args[0] == "load":
		print(open(args).run(number(args[5]), number(args[4])))
	case len(args) == 4 && args[0] == "flood":
		print(flood(netip.MustParseAddrPort(args[1]), number(args[2]), number(args[3])))
	default:
		panic("usage: udp echo ADDRESS | search ADDRESS FLOWS SIZE SECONDS | load ADDRESS FLOWS SIZE SECONDS RATE | flood ADDRESS SECONDS RATE")
	}
}

func echo(address netip.AddrPort) {
	socket := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address)))
	socket.SetReadBuffer(buffer)
	fmt.Println("ready")
	bytes := make([]byte, largest)
	for {
		length, sender, err := socket.ReadFromUDPAddrPort(bytes)
		if err == nil {
			socket.WriteToUDPAddrPort(bytes[:length], sender)
		}
	}
}

// One flow after the other, each until it is answered: some forwarders lose what comes while they make a flow.
func open(args []string) *load {
	address := netip.MustParseAddrPort(args[1])
	count, size := int(number(args[2])), int(number(args[3]))
	if size < header || size > largest || count < 1 {
		panic("SIZE is from 24 to 65535, FLOWS at least 1")
	}
	l := &load{events: must(syscall.EpollCreate1(0)), began: time.Now()}
	for id := range count {
		fd := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0))
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
		check(syscall.Connect(fd, &syscall.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}))
		check(syscall.EpollCtl(l.events, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(id)}))
		template := bytes.Repeat([]byte{byte(id*7 + 1)}, size)
		binary.BigEndian.PutUint32(template[4:], uint32(id))
		f := &flow{fd: fd, template: template}
		l.flows = append(l.flows, f)
		answer := make([]byte, size)
		for attempt, answered := 0, false; !answered; attempt++ {
			if attempt == 100 {
				panic(fmt.Sprintf("flow %d has no answer", id))
			}
			syscall.Write(fd, template)
			for wait := 0; wait < 100 && !answered; wait++ {
				nap(time.Millisecond)
				length, _ := syscall.Read(fd, answer)
				answered = length == size
			}
		}
	}
	return l
}

// Doubles the rate until too much is lost, then halves the distance. A step that fails is tried once more: the machine may
// have been busy with something else.
func search(l *load, seconds float64) result {
	l.searches = true
	good, bad := result{}, float64(fastest)
	try := func(rate float64) bool {
		for range 2 {
			if r := l.run(rate, seconds); r.Lost <= lossAllowed && r.Rate >= pace*rate {
				good = r
				return true
			}
		}
		bad = rate
		return false
	}
	for rate := float64(slowest); rate < fastest && try(rate); rate *= 2 {
	}
	if good.Rate == 0 {
		panic(fmt.Sprintf("more than 0.1 %% of %d datagrams a second is lost", slowest))
	}
	low := bad / 2
	for range halvings {
		middle := low + (bad-low)/2
		if try(middle) {
			low = middle
		}
	}
	return good
}

// Sends to all flows in turn and reads meanwhile.
func (l *load) run(rate, seconds float64) result {
	l.step++
	total := int(rate * seconds)
	for _, f := range l.flows {
		f.sent, f.answered = 0, make([]bool, total/len(l.flows)+1)
		binary.BigEndian.PutUint32(f.template, l.step)
	}
	began := time.Now()
	var sent atomic.Int64
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		l.send(rate, total, &sent, &stop)
		close(done)
	}()
	delays, foreign, last := l.receive(total, done, func(answered int) {
		if l.searches && float64(int(sent.Load())-answered) > hopeless*rate {
			stop.Store(true)
		}
	})
	answered := len(delays)
	r := result{Rate: float64(answered) / last.Sub(began).Seconds(), Sent: total, Lost: float64(total-answered) / float64(total), Foreign: foreign}
	if answered > 0 {
		slices.Sort(delays)
		r.P50, r.P99 = milliseconds(delays[answered/2]), milliseconds(delays[answered*99/100])
	}
	return r
}

func (l *load) send(rate float64, total int, sent *atomic.Int64, stop *atomic.Bool) {
	began := time.Now()
	atOnce := max(1, int(rate*catchUp/1000))
	for i := 0; i < total && !stop.Load(); sent.Store(int64(i)) {
		due := min(total, int(time.Since(began).Seconds()*rate)+1)
		for end := min(due, i+atOnce); i < end; i++ {
			f := l.flows[i%len(l.flows)]
			binary.BigEndian.PutUint64(f.template[8:], f.sent)
			binary.BigEndian.PutUint64(f.template[16:], uint64(time.Since(l.began)))
			syscall.Write(f.fd, f.template)
			f.sent++
		}
		nap(200 * time.Microsecond)
	}
}

// Ends when everything is answered, or when nothing more has come for a while after everything was sent.
func (l *load) receive(total int, done chan struct{}, progress func(answered int)) (delays []time.Duration, foreign int, last time.Time) {
	delays = make([]time.Duration, 0, total)
	events := make([]syscall.EpollEvent, 64)
	answer := make([]byte, largest)
	last = time.Now()
	var sent time.Time
	for {
		count, _ := syscall.EpollWait(l.events, events, 50)
		for _, event := range events[:max(count, 0)] {
			f := l.flows[event.Fd]
			length, err := syscall.Read(f.fd, answer)
			// An ICMP error is read as one, once. A late answer of an earlier step is lost already.
			if err != nil || length >= 4 && binary.BigEndian.Uint32(answer) != l.step {
				continue
			}
			if length != len(f.template) || !bytes.Equal(answer[4:8], f.template[4:8]) || !bytes.Equal(answer[header:length], f.template[header:]) {
				foreign++
				continue
			}
			last = time.Now()
			index := binary.BigEndian.Uint64(answer[8:])
			if index < uint64(len(f.answered)) && !f.answered[index] {
				f.answered[index] = true
				delays = append(delays, time.Since(l.began)-time.Duration(binary.BigEndian.Uint64(answer[16:])))
			}
		}
		progress(len(delays))
		if sent.IsZero() {
			select {
			case <-done:
				sent = time.Now()
			default:
			}
		} else if len(delays) == total || time.Since(sent) > patience && time.Since(last) > patience {
			return
		}
	}
}

// Through a raw socket: whole IP packets, from 198.18.0.0/15, which is for benchmarks. The kernel fills in the rest of the IP
// header; a UDP checksum of 0 is none.
func flood(address netip.AddrPort, seconds, rate float64) result {
	fd := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW))
	const size = 20 + 8 + 64
	packet := make([]byte, size)
	packet[0], packet[8], packet[9] = 0x45, 64, syscall.IPPROTO_UDP
	target := address.Addr().As4()
	copy(packet[16:], target[:])
	binary.BigEndian.PutUint16(packet[2:], size)
	binary.BigEndian.PutUint16(packet[22:], address.Port())
	binary.BigEndian.PutUint16(packet[24:], size-20)
	to := &syscall.SockaddrInet4{Addr: target}
	began := time.Now()
	total := int(seconds * rate)
	for i := 0; i < total; {
		for due := min(total, int(time.Since(began).Seconds()*rate)+1); i < due; i++ {
			binary.BigEndian.PutUint32(packet[12:], 198<<24|18<<16|uint32(i%(1<<17)))
			binary.BigEndian.PutUint16(packet[20:], uint16(1024+i%50000))
			syscall.Sendto(fd, packet, 0, to)
		}
		nap(time.Millisecond)
	}
	return result{Rate: float64(total) / time.Since(began).Seconds(), Sent: total}
}

// Not time.Sleep, which is late by up to 1 ms.
func nap(duration time.Duration) {
	rest := syscall.NsecToTimespec(int64(duration))
	syscall.Nanosleep(&rest, nil)
}

func milliseconds(duration time.Duration) float64 { return float64(duration) / 1e6 }

func number(text string) float64 { return must(strconv.ParseFloat(text, 64)) }

func print(r result) { check(json.NewEncoder(os.Stdout).Encode(r)) }

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err.Error())
	}
}
