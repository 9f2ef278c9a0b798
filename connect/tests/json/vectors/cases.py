"""The inputs of the vectors: JSON for `test.json.All`, well-formed and not."""

import json


def nest(open, close, n, inner=''):
    return open * n + inner + close * n


def field(name, *values):
    for value in values:
        yield '{"%s":%s}' % (name, value)


ints = ['0', '-0', '1', '-1', '1.0', '1.5', '1e3', '1E+3', '1e-3', '1000e-3', '0.1e1', '10e-1', '"1"', '"-1"', '"1.0"',
    '"1e3"', '"1.5"', '""', '" 1"', '"1 "', '"+1"', '"0x1"', '"01"', '01', '"1_0"', '-', '1.', '.5', '1e', '+1',
    'true', '"true"', '[]', '[1]', '{}', '2147483647', '2147483648', '-2147483648', '-2147483649', '4294967295',
    '4294967296', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809',
    '"9223372036854775807"', '"18446744073709551615"', '18446744073709551615', '18446744073709551616', '1e19', '1e20',
    '2.147483647e9', '2.1474836479e9', '1e1000000000000000000000', '1e-1000000000000000000000',
    '0e1000000000000000000000', '0.000e-5', '100000.000', '"100000.000"', '1234567890123456789.0e0', 'NaN', '"NaN"',
    'null', '"\\u0031"', '9223372036854775807.0', '922337203685477580.7e1', '-1e0', '"٣"', '1e0.5', '1 2',
    '12345678901234567890123456789']
floats = ints + ['"Infinity"', '"-Infinity"', 'Infinity', '-Infinity', '"infinity"', '"nan"', '"inf"', '"-NaN"',
    '1.7976931348623157e308', '1.7976931348623159e308', '1e309', '-1e309', '"1e309"', '5e-324', '1e-400',
    '3.4028235e38', '3.4028236e38', '3.5e38', '-3.5e38', '1.401298464324817e-45', '1e-46', '0.1',
    '0.30000000000000004', '16777217', '1.00000017881393421514957253748434595763683319091796875001', '-0.0', '"-0"',
    '9007199254740993', '1.17549435e-38']
strings = ['"a"', '""', '1', 'true', '[]', '"\\u00e9\\u20ac"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"',
    '"\\ud83dx"', '"\\ud83d\\ud83d"', '"\\n\\r\\t\\b\\f\\/\\\\\\""', '"\\x"', '"\\u12"', '"\\u00zz"', '"\\u0000"',
    '"\x7f"', '"é€😀"', '"\u2028"', '"<>&"', "'a'", '"a', '"\\', 'a', '"a\nb"', '"a\tb"', '"\x00"', '"\ufeff"',
    '"\\uFFFF"', '"\\u+123"']
byts = ['""', '"YQ=="', '"YQ"', '"YQ="', '"YR=="', '"-_"', '"-_8="', '"+/8="', '"-/8="', '"Y"', '"YQ==="', '"Y Q="',
    '"YQ==\\n"', '"YWI="', '"YWI"', '"YWJj"', '1', '"====="', '"="', '"YQ==YQ=="', '"é"']
enums = ['"RED"', '"red"', '"BLUE"', '"NOPE"', '""', '0', '1', '-2', '5', '2147483647', '2147483648', '-2147483648',
    '-2147483649', '1.0', '1.5', '1e0', '"1"', '"-2"', 'true', 'null', 'RED', '[]', '{}', '"UNSPECIFIED"']
bools = ['true', 'false', '"true"', '1', '0', 'True', 'TRUE', 'null', 'tru', 'truex', '[]', '""']
stamps = ['1970-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999999Z', '0000-12-31T23:59:59Z',
    '0001-01-01T00:00:00+00:01', '0001-01-01T00:00:00-00:01', '9999-12-31T23:59:59-00:01', '9999-12-31T23:59:59+00:01',
    '1972-06-30T23:59:60Z', '2024-02-29T00:00:00Z', '2023-02-29T00:00:00Z', '1900-02-29T00:00:00Z',
    '2000-02-29T12:34:56.7Z', '2000-01-01T00:00:00.12Z', '2000-01-01T00:00:00.123456Z', '2000-01-01T00:00:00.1234567Z',
    '2000-01-01T00:00:00.1234567891Z', '2000-01-01T00:00:00.Z', '2000-01-01t00:00:00Z', '2000-01-01T00:00:00z',
    '2000-01-01 00:00:00Z', '2000-01-01T00:00:00', '2000-01-01T24:00:00Z', '2000-01-01T23:60:00Z',
    '2000-13-01T00:00:00Z', '2000-00-01T00:00:00Z', '2000-01-00T00:00:00Z', '2000-01-32T00:00:00Z',
    '2000-01-01T00:00:00+24:00', '2000-01-01T00:00:00+23:59', '2000-01-01T00:00:00-23:59', '2000-01-01T00:00:00+0100',
    '2000-01-01T00:00:00+01', '2000-01-01T00:00:00+1:00', '2000-01-01T00:00:00+01:60', '2000-1-01T00:00:00Z',
    '02000-01-01T00:00:00Z', '2000-01-01T0:00:00Z', '2000-01-01T00:00:00ZZ', ' 2000-01-01T00:00:00Z',
    '2000-01-01T00:00:00Z ', '', '2000-01-01', '2000-01-01T00:00Z', '2000-01-01T00:00:00,5Z', '２000-01-01T00:00:00Z',
    '2000-01-01T00:00:00.5+05:30', '1969-12-31T23:59:59.5Z', '-001-01-01T00:00:00Z', '2000-01-01T00:00:00+é:00']
durations = ['0s', '1s', '-1s', '1.5s', '-1.5s', '-0.5s', '0.5s', '.5s', '1.s', '1', '1 s', ' 1s', '1s ', '+1s',
    '1.123456789s', '1.1234567891s', '1.000s', '315576000000s', '315576000001s', '-315576000000s', '-315576000001s',
    '315576000000.999999999s', '-315576000000.999999999s', '01s', '-0s', '1m', '1e3s', 's', '-s', '', '1.-5s',
    '1.5.5s', '99999999999999999999s', '1.+5s', '--1s', '٣s', '-.s', '.s', '-1.5', '1S']
masks = ['', 'a', 'fooBar', 'foo.barBaz,c', 'foo_bar', 'foo,', ',foo', 'foo,,bar', 'foo bar', ' foo', 'FooBar',
    'foo.Bar', 'foo.', '.foo', 'foo..bar', 'foo1', '1foo', 'foo1Bar', 'é', 'a-b', 'aB,aB', '_', 'f*', 'ABC', 'a.b.cD']
any_of = ['{}', '{"@type":""}', '{"@type":"","value":""}', '{"@type":"x/google.protobuf.Duration","value":"1.5s"}',
    '{"value":"1.5s","@type":"x/google.protobuf.Duration"}', '{"@type":"x/google.protobuf.Duration"}',
    '{"@type":"x/google.protobuf.Duration","value":"1s","other":1}',
    '{"@type":"x/google.protobuf.Duration","value":"1s","value":"1s"}',
    '{"@type":"google.protobuf.Duration","value":"1s"}', '{"@type":"a/b/google.protobuf.Duration","value":"1s"}',
    '{"@type":"/google.protobuf.Duration","value":"1s"}', '{"@type":"x/test.json.All","anInt32":1}',
    '{"anInt32":1,"@type":"x/test.json.All"}', '{"@type":"x/test.json.All","anInt32":1,"@type":"x/test.json.All"}',
    '{"@type":"x/test.json.All"}', '{"@type":"x/test.json.All","nope":1}',
    '{"nope":{"a":[1,{"b":null}]},"@type":"x/test.json.All"}', '{"@type":"x/test.json.Nope"}', '{"@type":"x/"}',
    '{"@type":1}', '{"@type":null}', '{"anInt32":1}', '[]', '"x"', 'null', '1',
    '{"@type":"x/google.protobuf.Any","value":{"@type":"x/test.json.All","anInt32":1}}',
    '{"@type":"x/google.protobuf.Any","value":{}}',
    '{"value":{"anInt32":1,"@type":"x/test.json.All"},"@type":"x/google.protobuf.Any"}',
    '{"@type":"x/google.protobuf.Empty","value":{}}', '{"@type":"x/google.protobuf.Empty"}',
    '{"@type":"x/google.protobuf.Empty","value":{"a":1}}', '{"@type":"x/google.protobuf.Value","value":null}',
    '{"@type":"x/google.protobuf.Value","value":[1,"a",{}]}', '{"@type":"x/google.protobuf.Value"}',
    '{"@type":"x/google.protobuf.Struct","value":{"a":1}}', '{"@type":"x/google.protobuf.ListValue","value":[1]}',
    '{"@type":"x/google.protobuf.Int64Value","value":"5"}', '{"@type":"x/google.protobuf.Int64Value","value":null}',
    '{"@type":"x/google.protobuf.StringValue","value":""}', '{"@type":"x/google.protobuf.FieldMask","value":"aB"}',
    '{"@type":"x/google.protobuf.Timestamp","value":"1970-01-01T00:00:01Z"}',
    '{"@type":"x/google.protobuf.Timestamp","value":null}',
    '{"@type":"x/test.json.All","any":{"@type":"x/test.json.All","aString":"deep"}}', '{"@type":"x\\/test.json.All"}',
    '{"\\u0040type":"x/test.json.All"}', '{"@type":"x/test.json.All","value":{"a":1}}',
    '{"@type":"x/test.json.All","value":"v"}']
values = ['null', '1', '-0.0', '1e400', '"NaN"', '"x"', 'true', '{}', '[]', '[null]', '{"a":null}', '[[[]]]',
    '{"a":{"b":[1,2,{"c":"d"}]}}', '{"a":1,"a":2}', '{"":1}', 'NaN', '[1,]', '[,1]', '{,}', '{"a":1,}',
    '12345678901234567890', '[1 2]', '{"a" 1}', '{a:1}', '9007199254740993']


def cases():
    for name in ['anInt32', 'anInt64', 'aUint32', 'aUint64', 'aSint32', 'aSint64', 'aFixed32', 'aFixed64', 'aSfixed32',
        'aSfixed64', 'optionalInt32', 'int64Value', 'uint64Value', 'int32Value', 'uint32Value', 'oneInt32']:
        yield from field(name, *ints)
    for name in ['aDouble', 'aFloat', 'doubleValue', 'floatValue']:
        yield from field(name, *floats)
    for name in ['aString', 'optionalString', 'stringValue']:
        yield from field(name, *strings)
    for name in ['aBytes', 'bytesValue']:
        yield from field(name, *byts)
    for name in ['aColor', 'optionalColor', 'aNull', 'oneColor', 'oneNull']:
        yield from field(name, *enums, '"NULL_VALUE"')
    for name in ['aBool', 'boolValue']:
        yield from field(name, *bools)
    yield from field('aliased', '"FIRST"', '"SECOND"', '1')
    for name in ['int32s', 'unpacked', 'int32Values']:
        yield from field(name, '[]', '[1,2]', '[1,"2",3.0]', '[null]', '[1,null]', 'null', '{}', '1', '[1,]', '[[1]]',
            '[0]', '[-1,0,1]')
    yield from field('colors', '[]', '["RED","NOPE","BLUE"]', '["NOPE"]', '[1,7]', '[null]')
    yield from field('nulls', '[null,null]', '["NULL_VALUE",0]', '[]')
    yield from field('strings', '["a","","a"]', '["a",null]', '"a"')
    yield from field('manyBytes', '["YQ==",""]')
    yield from field('doubles', '[1,2.5,"NaN","Infinity"]')
    yield from field('bools', '[true,false,1]', '[true,false]')
    yield from field('children', '[{},{}]', '[{"anInt32":1},{"children":[{}]}]', '[null]', '[[]]', '{}', '[{},1]')
    yield from field('child', '{}', 'null', '[]', '1', '"x"', '{"child":{"child":{}}}', '{"child":null}')
    yield from field('stringsByString', '{}', '{"a":"b"}', '{"":""}', '{"a":"b","a":"c"}', '{"a":null}', 'null', '[]',
        '{"a":1}', '{"b":"1","a":"2"}', '{"\\u0061":"1","a":"2"}')
    yield from field('childrenByInt32', '{"1":{}}', '{"-1":{"anInt32":1}}', '{"01":{}}', '{"1":{},"1.0":{}}',
        '{"1.0":{}}', '{"1e1":{}}', '{"x":{}}', '{"":{}}', '{" 1":{}}', '{"2147483648":{}}', '{"1":null}', '{1:{}}',
        '{"0":{}}', '{"1":{},"1":{}}')
    yield from field('colorsByBool', '{"true":"RED"}', '{"false":"NOPE"}', '{"false":"NOPE","true":"RED"}',
        '{"1":"RED"}', '{"True":1}', '{"true":7,"false":0}')
    yield from field('int64sByUint64', '{"18446744073709551615":"-9223372036854775808"}', '{"-1":1}', '{"0":0}',
        '{"0":0,"-0":1}')
    yield from field('bytesBySint64', '{"-9223372036854775808":"YQ"}')
    yield from field('doublesByFixed32', '{"4294967295":"NaN"}', '{"4294967296":1}')
    yield from field('valuesByString', '{"a":null}', '{"a":[1],"b":{"c":true}}')
    for value in ['{"oneInt32":1,"oneString":"a"}', '{"oneInt32":null,"oneString":"a"}',
        '{"oneInt32":1,"oneString":null}', '{"oneInt32":0}', '{"oneString":""}', '{"oneChild":{}}', '{"oneNull":null}',
        '{"oneValue":null}', '{"oneNull":null,"oneValue":null}', '{"oneColor":"NOPE","oneInt32":1}',
        '{"oneInt32":1,"one_int32":1}', '{"oneColor":"NOPE"}']:
        yield value
    yield from field('any', *any_of)
    yield from field('anys', '[{}]', '[null]', '[{"@type":"x/test.json.All"}]')
    yield from field('timestamp', *[json.dumps(s) for s in stamps], 'null', '0', '{}')
    yield from field('duration', *[json.dumps(s) for s in durations], 'null', '0', '{}')
    yield from field('mask', *[json.dumps(s) for s in masks], 'null', '[]', '{}')
    yield from field('value', *values)
    yield from field('structure', *values)
    yield from field('list', *values)
    yield from field('values', '[null,1,"a",[],{}]', 'null')
    yield from field('timestamps', '[null]', '["1970-01-01T00:00:00Z"]')
    yield from field('empty', '{}', 'null', '{"a":1}', '[]')
    yield from field('own \\"name\\"', '"a"')
    yield from field('own_name', '"a"')
    yield from field('ownName', '"a"')
    for name in ['__odd__name_1x', 'OddName1x', 'oddName1x', 'UPPERCase', 'UPPER_Case', 'upperCase', 'an_int32',
        'AnInt32', 'anint32', 'an_Int32']:
        yield from field(name, '1', '"a"')
    for text in ['', ' ', '{}', ' {} ', '\t\r\n{}\n', '{} {}', '{}x', '{},', 'null', '[]', '1', '"x"', 'true',
        '{"anInt32":1', '{"anInt32"', '{"anInt32":}', '{"anInt32":1}}', '{"anInt32":1 "aBool":true}',
        '{"anInt32":1,,"aBool":true}', '{"anInt32":1;"aBool":true}', '\ufeff{}', '{}\x00',
        '{"anInt32":1,"an_int32":1}', '{"anInt32":1,"anInt32":1}', '{"anInt32":null,"anInt32":1}',
        '{"nope":1,"nope":2}', '{"nope":{"a":1,"a":2}}', '{"nope":[1,{"a":[]}],"anInt32":1}', '{"nope":tru}',
        '{"nope":01}', '{"nope":"\\ud800"}', '{"nope":NaN}', '{"nope":[1,]}', '{"nope":{"a"}}', '{"nope":1e999}',
        '{// c\n}', '{/**/}', "{'anInt32':1}", '{anInt32:1}', '{"an\\u0049nt32":1}', '\x0b{}', '\xa0{}', '{"":1}',
        '{"\\u0000":1}', '{"nope":-}', '{"nope":"\x01"}', '{"nope":1.}', '{"[test.json.extra]":"x"}']:
        yield text
    for n in (5, 30):
        yield '{"value":%s}' % nest('[', ']', n)
        yield '{"value":%s}' % nest('{"a":', '}', n, '1')
        yield nest('{"child":', '}', n, '{}')
        yield '{"nope":%s}' % nest('[', ']', n)
