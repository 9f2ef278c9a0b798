// grpc-java: calls of all kinds, metadata, deadlines, cancellation, panics, error details, and health.
//
// Usage: java -cp JARS GrpcJava.java ADDRESS DESCRIPTORS. The messages are dynamic, so that no code is generated.

import com.google.protobuf.Any;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.TextFormat;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.protobuf.StatusProto;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;

public class GrpcJava {
    static final int PATIENCE = 20_000;
    static final Map<String, Integer> codes = new TreeMap<>();
    static int checks = 0;

    static ManagedChannel channel;
    static ServiceDescriptor service;

    /** How a call ended, and what it gave. */
    static class Ended {
        final List<DynamicMessage> responses = new ArrayList<>();
        final CountDownLatch latch = new CountDownLatch(1);
        Metadata headers = new Metadata();
        Metadata trailers;
        Status status;

        String code() {
            return status.getCode().name();
        }

        /** The details of this type. */
        <T extends com.google.protobuf.Message> T detail(Class<T> type) throws Exception {
            for (Any any : StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList()) {
                if (any.is(type)) {
                    return any.unpack(type);
                }
            }
            throw new AssertionError("the status has no " + type.getSimpleName());
        }

        String field(int response, String name) {
            DynamicMessage message = responses.get(response);
            return message.getField(message.getDescriptorForType().findFieldByName(name)).toString();
        }
    }

    static void expect(String what, Object seen, Object expected) {
        checks++;
        if (!seen.equals(expected)) {
            System.err.println(what + ": " + seen + ", and not " + expected);
            System.exit(1);
        }
    }

    static MethodDescriptor<DynamicMessage, DynamicMessage> method(String name) {
        var method = service.findMethodByName(name);
        var type = method.isClientStreaming()
            ? (method.isServerStreaming() ? MethodDescriptor.MethodType.BIDI_STREAMING : MethodDescriptor.MethodType.CLIENT_STREAMING)
            : (method.isServerStreaming() ? MethodDescriptor.MethodType.SERVER_STREAMING : MethodDescriptor.MethodType.UNARY);
        return MethodDescriptor.<DynamicMessage, DynamicMessage>newBuilder()
            .setType(type)
            .setFullMethodName(service.getFullName() + "/" + name)
            .setRequestMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getInputType())))
            .setResponseMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getOutputType())))
            .build();
    }

    static DynamicMessage request(String method, String text) throws Exception {
        var builder = DynamicMessage.newBuilder(service.findMethodByName(method).getInputType());
        TextFormat.merge(text, builder);
        return builder.build();
    }

    /** Sends all requests, and waits for the end. `onMessage` may cancel the call. */
    static Ended call(String method, int time, String fault, BiConsumer<ClientCall<?, ?>, Ended> onMessage, String... texts)
            throws Exception {
        var ended = new Ended();
        var options = CallOptions.DEFAULT.withDeadlineAfter(time, TimeUnit.MILLISECONDS);
        ClientCall<DynamicMessage, DynamicMessage> call = channel.newCall(method(method), options);
        var headers = new Metadata();
        if (fault != null) {
            headers.put(Metadata.Key.of("x-fault", Metadata.ASCII_STRING_MARSHALLER), fault);
        }
        call.start(new ClientCall.Listener<>() {
            @Override
            public void onHeaders(Metadata given) {
                ended.headers = given;
            }

            @Override
            public void onMessage(DynamicMessage message) {
                ended.responses.add(message);
                onMessage.accept(call, ended);
                call.request(1);
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
                ended.status = status;
                ended.trailers = trailers;
                ended.latch.countDown();
            }
        }, headers);
        // A unary response is delivered once a second message is asked for.
        call.request(2);
        for (String text : texts) {
            call.sendMessage(request(method, text));
        }
        call.halfClose();
        if (!ended.latch.await(2 * PATIENCE, TimeUnit.MILLISECONDS)) {
            throw new AssertionError(method + " does not end");
        }
        codes.merge(ended.code(), 1, Integer::sum);
        return ended;
    }

    static Ended call(String method, String... texts) throws Exception {
        return call(method, PATIENCE, null, (call, ended) -> {}, texts);
    }

    static Ended faulty(String method, int time, String fault, String text) throws Exception {
        return call(method, time, fault, (call, ended) -> {}, text);
    }

    static String order(int cents, String email) {
        return "customer_email: '" + email + "' total_cents: " + cents + " currency: 'EUR'";
    }

    static String order(int cents) {
        return order(cents, "ann@example.org");
    }

    static void kinds() throws Exception {
        String id = "";
        for (int cents = 1; cents <= 3; cents++) {
            var made = call("CreateOrder", order(cents));
            expect("a new order", made.code() + made.field(0, "total_cents"), "OK" + cents);
            id = made.field(0, "id");
        }
        expect("the order", call("GetOrder", "id: '" + id + "'").field(0, "customer_email"), "ann@example.org");
        var page = call("ListOrders", "customer_email: 'ann@example.org' page_size: 2");
        expect("the page", page.code() + page.responses.size(), "OK2");
        String token = page.headers.get(Metadata.Key.of("next-page-token", Metadata.ASCII_STRING_MARSHALLER));
        var rest = call("ListOrders", "customer_email: 'ann@example.org' page_size: 2 page_token: '" + token + "'");
        expect("the rest", rest.code() + rest.responses.size(), "OK1");
        var imported = call("ImportOrders", order(4), order(5, ""), order(6));
        expect("the import", imported.field(0, "created") + imported.field(0, "rejected"), "21");
        String quote = "total_cents: 1 currency: 'EUR' reference: ";
        var quotes = call("QuoteOrders", quote + "'0'", quote + "'1'", quote + "'2'");
        expect("the quotes", quotes.code() + quotes.field(0, "reference") + quotes.field(2, "reference"), "OK02");
    }

    static void details() throws Exception {
        var invalid = call("CreateOrder", order(-1, "nobody"));
        var fields = invalid.detail(BadRequest.class).getFieldViolationsList().stream()
            .map(BadRequest.FieldViolation::getField).collect(Collectors.toList());
        expect("invalid fields", invalid.code() + fields, "INVALID_ARGUMENT[customer_email, total_cents]");
        for (String method : List.of("GetOrder", "WatchOrder")) {
            var missing = call(method, "id: 'no such order'");
            var info = missing.detail(ErrorInfo.class);
            String seen = missing.code() + " " + info.getReason() + " " + info.getDomain();
            expect("a missing order", seen, "NOT_FOUND ORDER_NOT_FOUND orders.v1");
        }
    }

    static void endings() throws Exception {
        expect("a deadline", faulty("GetOrder", 200, "delay=10s", "id: 'any'").code(), "DEADLINE_EXCEEDED");
        expect("a stream's deadline", faulty("ListOrders", 200, "delay=10s", "").code(), "DEADLINE_EXCEEDED");
        expect("a panic", faulty("GetOrder", PATIENCE, "panic", "id: 'any'").code(), "INTERNAL");
        var panic = faulty("ListOrders", PATIENCE, "panic-after=2", "");
        expect("a panic in a stream", panic.code() + panic.responses.size(), "INTERNAL2");
        String id = call("CreateOrder", order(7)).field(0, "id");
        var watch = call("WatchOrder", PATIENCE, null, (call, ended) -> call.cancel("seen", null), "id: '" + id + "'");
        expect("the watch, cancelled", watch.code() + " " + watch.field(0, "event_type"), "CANCELLED created");
    }

    static void health() {
        var stub = HealthGrpc.newBlockingStub(channel).withDeadlineAfter(PATIENCE, TimeUnit.MILLISECONDS);
        var orders = HealthCheckRequest.newBuilder().setService("orders.v1.OrderService").build();
        expect("health", stub.check(orders).getStatus().name(), "SERVING");
        codes.merge("OK", 1, Integer::sum);
    }

    public static void main(String[] arguments) throws Exception {
        var set = FileDescriptorSet.parseFrom(Files.readAllBytes(Path.of(arguments[1])));
        Map<String, FileDescriptor> files = new HashMap<>();
        for (var file : set.getFileList()) {
            var imports = file.getDependencyList().stream().map(files::get).toArray(FileDescriptor[]::new);
            files.put(file.getName(), FileDescriptor.buildFrom(file, imports));
        }
        service = files.get("orders/v1/orders.proto").findServiceByName("OrderService");
        channel = NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
        kinds();
        details();
        endings();
        health();
        channel.shutdown().awaitTermination(PATIENCE, TimeUnit.MILLISECONDS);
        String counts = codes.entrySet().stream()
            .map(entry -> "\"" + entry.getKey() + "\": " + entry.getValue()).collect(Collectors.joining(", "));
        System.out.println("{\"client\": \"grpc-java " + version() + "\", \"checks\": " + checks
            + ", \"codes\": {" + counts + "}, \"more\": \"\"}");
    }

    /** As in the name of the jar. */
    static String version() {
        String path = HealthGrpc.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        return path.replaceAll(".*grpc-services-(.*)\\.jar", "$1");
    }
}
