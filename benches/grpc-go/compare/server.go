package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The number of messages of a stream.
const messages = 100

// The messages have the encoding of test.v1.Ask and test.v1.Note, whose first fields are numbers.
type note = wrapperspb.UInt32Value

var ask emptypb.Empty

// serve starts a server on loopback, and returns its client.
func serve(options ...grpc.ServerOption) *grpc.ClientConn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&kinds, nil)
	go func() { log.Fatal(server.Serve(listener)) }()
	client, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// kinds is what protoc would generate.
var kinds = grpc.ServiceDesc{
	ServiceName: "test.v1.Kinds",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: answer}},
	Streams:     []grpc.StreamDesc{{StreamName: "ServerStream", Handler: answerWithMany, ServerStreams: true}},
}

func answer(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	asked := new(emptypb.Empty)
	if err := decode(asked); err != nil {
		return nil, err
	}
	handler := func(context.Context, any) (any, error) { return new(note), nil }
	if intercept == nil {
		return handler(ctx, asked)
	}
	info := grpc.UnaryServerInfo{Server: service, FullMethod: "/test.v1.Kinds/Unary"}
	return intercept(ctx, asked, &info, handler)
}

func answerWithMany(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	for number := range uint32(messages) {
		if err := stream.SendMsg(wrapperspb.UInt32(number)); err != nil {
			return err
		}
	}
	return nil
}

// drain reads a stream to its end, and counts its messages.
func drain(stream grpc.ClientStream) (int, error) {
	for count := 0; ; count++ {
		if err := stream.RecvMsg(new(note)); errors.Is(err, io.EOF) {
			return count, nil
		} else if err != nil {
			return count, err
		}
	}
}
