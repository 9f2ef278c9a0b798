// Command grpc-go makes unary calls of test.v1.Kinds with grpc-go at a steady rate, over all of these addresses:
//
//	grpc-go ADDRESS,ADDRESS,… CONFIG RATE SECONDS DEADLINE INTERVAL TIMEOUT
//
// CONFIG is a service config, RATE the number of calls per second, and DEADLINE that of a call in seconds. INTERVAL and
// TIMEOUT are those of HTTP/2 pings in seconds; none are sent if they are 0. The output has a line for each call: when it began, in microseconds since 1970; how many microseconds it took; its code.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

type call struct {
	began time.Time
	took  time.Duration
	code  codes.Code
}

func main() {
	if len(os.Args) != 8 {
		log.Fatal("ADDRESS,ADDRESS,… CONFIG RATE SECONDS DEADLINE INTERVAL TIMEOUT")
	}
	rate, total, deadline := number(os.Args[3]), seconds(os.Args[4]), seconds(os.Args[5])
	pings := keepalive.ClientParameters{Time: seconds(os.Args[6]), Timeout: seconds(os.Args[7])}
	channel := connect(strings.Split(os.Args[1], ","), os.Args[2], pings)
	defer channel.Close()

	calls := make([]call, int(rate*total.Seconds()))
	var running sync.WaitGroup
	start := time.Now()
	for number := range calls {
		time.Sleep(time.Until(start.Add(time.Duration(float64(number) / rate * float64(time.Second)))))
		running.Go(func() { calls[number] = unary(channel, deadline) })
	}
	running.Wait()

	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, call := range calls {
		fmt.Fprintln(out, call.began.UnixMicro(), call.took.Microseconds(), int(call.code))
	}
}

func connect(addresses []string, config string, pings keepalive.ClientParameters) *grpc.ClientConn {
	known := manual.NewBuilderWithScheme("known")
	var state resolver.State
	for _, address := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	known.InitialState(state)
	options := []grpc.DialOption{
		grpc.WithResolvers(known),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config),
	}
	if pings.Time > 0 {
		options = append(options, grpc.WithKeepaliveParams(pings))
	}
	channel, err := grpc.NewClient("known:///orders", options...)
	if err != nil {
		log.Fatal(err)
	}
	return channel
}

func unary(channel *grpc.ClientConn, deadline time.Duration) call {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	began := time.Now()
	err := channel.Invoke(ctx, "/test.v1.Kinds/Unary", &emptypb.Empty{}, &emptypb.Empty{})
	return call{began, time.Since(began), status.Code(err)}
}

func number(text string) float64 {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		log.Fatal(err)
	}
	return number
}

func seconds(text string) time.Duration {
	return time.Duration(number(text) * float64(time.Second))
}
