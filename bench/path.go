// A long and lossy path: two TUN devices, and whatever IP packet is sent into one comes out of the other, later or never.
// Many kernels come without netem. Usage: path DEVICE DEVICE DELAY LOSS, the delay of each direction in milliseconds, the
// share of the packets that are lost from 0 to 1. Both devices are made where it starts; either may be moved to another
// network namespace. It prints a line once they are there.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// Bytes of a packet, and packets on the way in one direction; more than that are lost, as in any full queue.
const (
	largest = 2048
	held    = 8192
)

type packet struct {
	due    time.Time
	length int
	bytes  [largest]byte
}

func main() {
	if len(os.Args) != 5 {
		fail("usage: path DEVICE DEVICE DELAY LOSS")
	}
	delay, delayError := strconv.ParseFloat(os.Args[3], 64)
	loss, lossError := strconv.ParseFloat(os.Args[4], 64)
	if delayError != nil || lossError != nil || delay < 0 || loss < 0 || loss > 1 {
		fail("DELAY is in milliseconds, LOSS from 0 to 1")
	}
	wait := time.Duration(delay * float64(time.Millisecond))
	near, far := open(os.Args[1]), open(os.Args[2])
	carry(near, far, wait, loss)
	carry(far, near, wait, loss)
	fmt.Println("ready")
	select {}
}

func carry(from, to int, delay time.Duration, loss float64) {
	free, waiting := make(chan *packet, held), make(chan *packet, held)
	for range held {
		free <- new(packet)
	}
	go func() {
		spare := new(packet)
		for {
			length, err := syscall.Read(from, spare.bytes[:])
			if err != nil {
				// The device has no address yet, or no more.
				time.Sleep(time.Millisecond)
				continue
			}
			if rand.Float64() < loss {
				continue
			}
			select {
			case next := <-free:
				spare.due, spare.length = time.Now().Add(delay), length
				waiting <- spare
				spare = next
			default:
			}
		}
	}()
	go func() {
		for next := range waiting {
			// Not time.Sleep, which is late by up to 1 ms. A signal of Go's scheduler may wake it early; and up to 50 µs do not
			// matter, so that a burst does not sleep for each of its packets.
			for early := time.Until(next.due); early > 50*time.Microsecond; early = time.Until(next.due) {
				rest := syscall.NsecToTimespec(int64(early))
				syscall.Nanosleep(&rest, nil)
			}
			syscall.Write(to, next.bytes[:next.length])
			free <- next
		}
	}()
}

func open(device string) int {
	const tunSetIff, iffTun, iffNoPi = 0x400454ca, 0x0001, 0x1000
	file, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		fail("/dev/net/tun: " + err.Error())
	}
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:15], device)
	request.flags = iffTun | iffNoPi
	if _, _, code := syscall.Syscall(syscall.SYS_IOCTL, uintptr(file), tunSetIff, uintptr(unsafe.Pointer(&request))); code != 0 {
		fail(device + ": " + code.Error())
	}
	return file
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
