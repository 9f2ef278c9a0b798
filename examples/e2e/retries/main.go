// Command retries makes calls of test.v1.Kinds with grpc-go, and prints the code of each:
//
//	retries ADDRESS CONFIG METHOD SECONDS CALLS BYTES
//
// The arguments are those of the example `retry-attempts call` of tonic-retry-layer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if len(os.Args) != 7 {
		log.Fatal("ADDRESS CONFIG METHOD SECONDS CALLS BYTES")
	}
	address, config, method := os.Args[1], os.Args[2], os.Args[3]
	seconds, calls, bytes := number(os.Args[4]), number(os.Args[5]), number(os.Args[6])
	channel, err := grpc.NewClient(
		"passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer channel.Close()
	for range int(calls) {
		timeout := time.Duration(seconds * float64(time.Second))
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		fmt.Println(int(status.Code(call(ctx, channel, method, int(bytes)))))
		cancel()
	}
}

func number(text string) float64 {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		log.Fatal(err)
	}
	return number
}

// call makes one call and reads its response to the end. A stream sends three messages.
func call(ctx context.Context, channel *grpc.ClientConn, method string, bytes int) error {
	path := "/test.v1.Kinds/" + method
	request := wrapperspb.String(strings.Repeat("x", bytes))
	if method == "Unary" {
		return channel.Invoke(ctx, path, request, &emptypb.Empty{})
	}
	kind := &grpc.StreamDesc{
		ClientStreams: method == "ClientStream" || method == "BidiStream",
		ServerStreams: method == "ServerStream" || method == "BidiStream",
	}
	stream, err := channel.NewStream(ctx, kind, path)
	if err != nil {
		return err
	}
	messages := 1
	if kind.ClientStreams {
		messages = 3
	}
	for range messages {
		// After io.EOF, the status is what RecvMsg returns.
		if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		err := stream.RecvMsg(&emptypb.Empty{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || !kind.ServerStreams {
			return err
		}
	}
}
