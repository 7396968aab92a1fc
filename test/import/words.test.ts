import fc from 'fast-check'
import t from 'tap'
import { splitWords } from '../../src/import/words.ts'

t.test('words, as the configuration manual has them', async t => {
  for (const [line, words] of [
    ['', []],
    [' \t ', []],
    ['# all of it', []],
    ['bind *:80 # the web', ['bind', '*:80']],
    ['a#b', ['a']],
    ['\tmode\ttcp ', ['mode', 'tcp']],
    ['a ""', ['a', '']],
    ['log-format %{+Q}o\\ %t\\ %s', ['log-format', '%{+Q}o %t %s']],
    ['log-format "%{+Q}o %t %s"', ['log-format', '%{+Q}o %t %s']],
    ['log-format "%{+Q}o %t"\' %s\'\\ x', ['log-format', '%{+Q}o %t %s x']],
    ['a\\#b "c#d" \'e#f\'', ['a#b', 'c#d', 'e#f']],
    ['"it\'s" \'say "x"\'', ["it's", 'say "x"']],
    ['\\x41\\n\\r\\t\\\\ \\" \\\'', ['A\n\r\t\\', '"', "'"]],
    ['cost$5 \\$5 "\\$5" \'$5\'', ['cost$5', '$5', '$5', '$5']],
    ['^\\d+\\.x', ['^\\d+\\.x']],
    ["'\\n'", ['\\n']],
  ] as const)
    t.same(splitWords(line), { words }, line)
})

t.test('a variable is a problem of its line, whose other words are there', async t => {
  t.match(splitWords('log "$HOST:514" local0'), {
    words: ['log', '$HOST:514', 'local0'],
    problem: /variable/,
  })
})

t.test('what cannot be read', async t => {
  for (const [line, problem] of [
    ['bind "*:$PORT"', /environment variable/],
    ['bind "*:80', /no closing "/],
    ["bind '*:80", /no closing '/],
    ['bind \\', /backslash/],
    ['bind \\x4', /backslash/],
    ['bind "\\', /backslash/],
  ] as const)
    t.match(splitWords(line), { problem }, line)
})

t.test('any text in single quotes is one word', async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }).filter(text => !text.includes("'")),
      text => splitWords(`a '${text}'`).words?.[1] === text,
    ),
  )
})
