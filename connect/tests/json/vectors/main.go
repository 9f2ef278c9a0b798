// Reads JSON texts, a JSON string per line, as test.json.All by the descriptor set in the first argument. Prints for
// each the protobuf or null, first with unknown fields refused, then with unknown fields ignored, and the JSON of the
// latter.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(must(os.ReadFile(os.Args[1])), set); err != nil {
		log.Fatal(err)
	}
	types := dynamicpb.NewTypes(must(protodesc.NewFiles(set)))
	all := must(types.FindMessageByName("test.json.All"))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			log.Fatal(err)
		}
		var result [3]any
		for i, ignore := range []bool{false, true} {
			message := all.New().Interface()
			options := protojson.UnmarshalOptions{DiscardUnknown: ignore, Resolver: types}
			if options.Unmarshal([]byte(text), message) != nil {
				continue
			}
			result[i] = hex.EncodeToString(must(proto.MarshalOptions{Deterministic: true}.Marshal(message)))
			if out, err := (protojson.MarshalOptions{Resolver: types}).Marshal(message); ignore && err == nil {
				result[2] = string(out)
			}
		}
		fmt.Println(string(must(json.Marshal(result))))
	}
}
