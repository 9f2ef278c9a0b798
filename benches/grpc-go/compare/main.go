// Command compare measures grpc-go over loopback, bare and with the usual interceptors, on one core. It answers each line
// of standard input, such as {"measure":"together","call":"unary","calls":1280}, with a line: the processor time of a
// call, client and server counted together, and its latency, all in microseconds.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// The number of concurrent calls, over one connection.
const atOnce = 64

type question struct {
	Measure string
	Call    string
	Calls   int
}

type load struct {
	CPU float64 `json:"cpu"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type loads struct {
	Bare    load `json:"bare"`
	Subject load `json:"subject"`
}

func main() {
	log.SetFlags(0)
	runtime.GOMAXPROCS(1)
	bare, subject := serve(), serve(usual()...)
	token := "Bearer " + token()
	questions, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for questions.Scan() {
		var question question
		if err := json.Unmarshal(questions.Bytes(), &question); err != nil {
			log.Fatal(err)
		}
		if question.Measure != "together" {
			log.Fatalf("cannot measure %q", question.Measure)
		}
		beside := measure(bare, question, token)
		if err := answers.Encode(loads{beside, measure(subject, question, token)}); err != nil {
			log.Fatal(err)
		}
	}
}

// measure makes the calls, and returns what one of them cost.
func measure(client *grpc.ClientConn, question question, token string) load {
	call := unary
	if question.Call == "stream" {
		call = stream
	}
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", token)
	latencies := make([]float64, question.Calls/atOnce*atOnce)
	each := len(latencies) / atOnce
	var callers sync.WaitGroup
	start := processorTime()
	for caller := range atOnce {
		callers.Go(func() {
			for at := range each {
				began := time.Now()
				if err := call(ctx, client); err != nil {
					log.Fatal(err)
				}
				latencies[caller*each+at] = micros(time.Since(began))
			}
		})
	}
	callers.Wait()
	cpu := micros(processorTime()-start) / float64(len(latencies))
	slices.Sort(latencies)
	return load{cpu, latencies[len(latencies)/2], latencies[len(latencies)*99/100]}
}

func micros(took time.Duration) float64 {
	return float64(took.Nanoseconds()) / 1e3
}

// processorTime is that of all threads of this process.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// unary makes one call.
func unary(ctx context.Context, client *grpc.ClientConn) error {
	return client.Invoke(ctx, "/test.v1.Kinds/Unary", &ask, new(note))
}

// stream reads all messages of one call.
func stream(ctx context.Context, client *grpc.ClientConn) error {
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.v1.Kinds/ServerStream")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&ask); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	count, err := drain(stream)
	if err == nil && count != messages {
		err = fmt.Errorf("a stream of %d messages", count)
	}
	return err
}
