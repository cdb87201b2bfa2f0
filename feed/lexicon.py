"""The words that simulated posts are made of: fourteen languages, twelve subjects.

Scripts with spaces, without spaces (Chinese, Japanese, Thai) and from right to left (Arabic) are all here, for text
processing differs most between them.
"""

from __future__ import annotations

from dataclasses import dataclass

SUBJECTS = (
    "dance", "music", "food", "fitness", "beauty", "fashion", "comedy", "pets", "games", "travel", "sport", "craft",
)  # fmt: skip
"""What posts are about; the line of a language's ``words`` that belongs to a subject has the same position."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language as it is written on TikTok.

    Attributes:
        code: ISO 639-1.
        share: part of the platform's posts.
        utc_offset: hours east of UTC of most of its speakers.
        words: words of each subject, in the order of ``SUBJECTS``.
        endings: what is joined to a word to make a hashtag of the long tail.
        phrases: runs without spaces, for scripts that have none; they share no pair of neighbouring characters.
    """

    code: str
    share: float
    utc_offset: float
    words: tuple[str, ...]
    endings: str
    phrases: str = ""


LANGUAGES = (
    Language("en", 0.30, -6, (
        "dance choreography renegade shuffle breakdance ballet hiphop dancer",
        "guitar singing karaoke lyrics piano drummer remix playlist",
        "recipe pancakes burger avocado cookies brunch noodles pizza",
        "workout squats yoga gains cardio deadlift protein stretching",
        "makeup skincare lipstick eyeliner lashes hairstyle glow nails",
        "outfit sneakers thrift denim streetwear vintage hoodie runway",
        "prank meme skit comedy roast awkward sarcasm blooper",
        "puppy kitten hamster parrot goldfish corgi rescue labrador",
        "minecraft speedrun console gamer fortnite esports controller sandbox",
        "roadtrip beach camping passport sunset hiking island airport",
        "basketball soccer skateboard surfing touchdown goalkeeper boxing marathon",
        "crochet pottery painting origami woodworking embroidery resin sketchbook",
    ), "tok life lover challenge inspo daily vibes goals hack tips time oftiktok mood check tutorial fail queen squad"),
    Language("es", 0.14, -5, (
        "baile coreografía salsa bachata perreo bailarina cumbia zapateo",
        "guitarra cantante reguetón balada tambor canción acordeón serenata",
        "receta empanadas tacos guacamole churros arepas ceviche tortilla",
        "gimnasio sentadillas abdominales rutina pesas estiramiento sudor cintura",
        "maquillaje labial peinado pestañas uñas belleza rizos sombra",
        "vestido zapatos moda bolso chaqueta falda pantalones tacones",
        "broma chiste humor risa payaso parodia travesura imitación",
        "perrito gatito mascota loro conejo tortuga cachorro caballo",
        "videojuego jugador consola mando partida nivel misión torneo",
        "viaje playa montaña maleta vuelo aventura atardecer isla",
        "fútbol golazo portero ciclismo boxeo natación campeón entrenador",
        "manualidades bordado cerámica pintura tejido madera dibujo reciclaje",
    ), "tiktok reto fácil casero fan love total diario viral tips mundo loco latino perfecto"),
    Language("pt", 0.09, -3, (
        "dança passinho samba forró coreografia sarrada dançarina frevo",
        "violão cantora sertanejo pagode batida música pandeiro refrão",
        "receita brigadeiro feijoada coxinha pudim tapioca moqueca farofa",
        "academia treino agachamento abdômen corrida musculação suor alongamento",
        "maquiagem batom cabelo cílios unhas esmalte beleza cachos",
        "vestido tênis estilo bolsa calça saia jaqueta brechó",
        "pegadinha piada zoeira risada palhaço paródia humor mico",
        "cachorro gatinho filhote papagaio coelho tartaruga cavalo hamster",
        "jogo jogador controle partida fase campeonato desafio missão",
        "viagem praia trilha mala voo aventura cachoeira ilha",
        "futebol gol goleiro surfe vôlei torcida campeão treinador",
        "artesanato crochê cerâmica pintura bordado madeira desenho costura",
    ), "tiktok desafio brasil fácil caseiro top total diário viral dicas mundo amor perfeito"),
    Language("id", 0.08, 7, (
        "joget tarian koreografi penari goyang jaipong dansa gerakan",
        "gitar penyanyi dangdut lagu suling kendang nada lirik",
        "resep rendang bakso sate seblak martabak nasi gorengan",
        "olahraga senam otot lari diet keringat angkat pemanasan",
        "riasan bedak bibir rambut kuku cantik alis maskara",
        "baju sepatu hijab gaya batik celana jaket kebaya",
        "lucu lawak humor tawa prank kocak parodi ngakak",
        "kucing anjing kelinci burung ikan kura peliharaan anakan",
        "permainan pemain konsol misi turnamen menang kalah hadiah",
        "liburan pantai gunung koper pesawat petualangan pulau senja",
        "bola gawang renang tinju pelari juara pelatih badminton",
        "kerajinan rajut lukisan tanah kayu gambar sulam kertas",
    ), "tiktok viral challenge indo keren lovers harian asik banget mantap gaul tips"),
    Language("ar", 0.07, 3, (
        "رقص دبكة راقصة حركات رقصة ايقاع",
        "غناء عود مطرب اغنية موسيقى طبلة",
        "طبخ كبسة شاورما حلويات قهوة فلافل",
        "رياضة تمارين عضلات جري يوغا رشاقة",
        "مكياج شعر عطور جمال اظافر كحل",
        "فستان ازياء عباية حذاء حقيبة موضة",
        "ضحك نكتة مقلب كوميديا مسخرة تقليد",
        "قطة كلب ارنب ببغاء حصان سلحفاة",
        "العاب لاعب تحدي مرحلة بطولة فريق",
        "سفر شاطئ جبل مطار رحلة جزيرة",
        "كرة هدف ملعب سباحة ملاكمة بطل",
        "رسم تطريز فخار خياطة خشب اشغال",
    ), "تيك_توك _اليوم _العرب _حلوة _للجميع _جديد _ترند _الخليج"),
    Language("ru", 0.06, 3, (
        "танец хореография балет шаффл танцор движение",
        "гитара песня певица караоке барабан мелодия",
        "рецепт блины борщ пельмени шашлык выпечка",
        "тренировка приседания йога мышцы зарядка пресс",
        "макияж помада волосы ресницы маникюр красота",
        "платье кроссовки мода сумка куртка юбка",
        "шутка пранк юмор смех пародия розыгрыш",
        "котёнок щенок попугай хомяк кролик черепаха",
        "игра геймер приставка уровень турнир победа",
        "путешествие пляж горы чемодан самолёт закат",
        "футбол хоккей вратарь плавание бокс чемпион",
        "вязание керамика рисунок вышивка дерево поделки",
    ), "тикток челлендж дня рек тренд лайф дома москва россия топ любовь"),
    Language("hi", 0.05, 5.5, (
        "नृत्य भांगड़ा गरबा नाच ठुमका कथक",
        "गाना गिटार तबला संगीत शायरी भजन",
        "पकौड़े बिरयानी समोसा मिठाई पराठा जलेबी",
        "कसरत योगा व्यायाम दौड़ ताकत पसीना",
        "मेकअप बाल मेहंदी काजल लिपस्टिक सुंदरता",
        "साड़ी लहंगा जूते कुर्ता दुपट्टा पोशाक",
        "मजाक चुटकुला हंसी कॉमेडी शरारत नकल",
        "कुत्ता बिल्ली तोता खरगोश घोड़ा कछुआ",
        "खिलाड़ी खेल मुकाबला जीत टूर्नामेंट पहेली",
        "यात्रा पहाड़ समुद्र हवाई मंदिर सफर",
        "क्रिकेट फुटबॉल कबड्डी मुक्केबाजी विकेट छक्का",
        "चित्रकारी कढ़ाई मिट्टी रंगोली सिलाई बुनाई",
    ), "वीडियो भारत स्टाइल प्रेमी दिल वाला चैलेंज टिकटॉक"),
    Language("ja", 0.04, 9, (
        "ダンス 振付 踊り バレエ",
        "ギター 歌手 カラオケ ピアノ",
        "料理 ラーメン 寿司 弁当",
        "筋トレ 体操 ヨガ ストレッチ",
        "メイク 髪型 コスメ ネイル",
        "コーデ 古着 スニーカー 着物",
        "漫才 ドッキリ コント 変顔",
        "子犬 子猫 ハムスター 柴犬",
        "ゲーム 実況 コントローラー 攻略",
        "旅行 温泉 キャンプ 夕日",
        "野球 サッカー 柔道 卓球",
        "折紙 刺繍 陶芸 イラスト",
    ), "動画 日記 好き チャレンジ 女子 部 垢 入門",
    "最高に楽しい毎朝の景色 猫と暮らす小さな家 夜空を眺める散歩道"),
    Language("fr", 0.04, 1, (
        "danse chorégraphie danseuse tecktonik valse bal",
        "guitare chanson rappeur mélodie batterie chorale",
        "recette crêpes croissant fromage raclette macaron",
        "musculation abdos pompes footing gainage étirements",
        "maquillage cheveux vernis coiffure cils beauté",
        "robe baskets mode friperie veste jupe",
        "blague humour parodie fou rire gag",
        "chaton chiot perroquet lapin cheval tortue",
        "jeu joueur manette console tournoi victoire",
        "voyage plage montagne valise avion coucher",
        "football gardien natation boxe cyclisme champion",
        "tricot poterie peinture broderie bois dessin",
    ), "tiktok défi facile maison france addict quotidien viral astuce monde"),
    Language("de", 0.03, 1, (
        "tanz tänzerin walzer schritte polka bühne",
        "gitarre sängerin schlager klavier trommel lied",
        "rezept brezel kuchen schnitzel frühstück nudeln",
        "kniebeugen krafttraining liegestütze muskeln ausdauer dehnen",
        "schminke lippenstift haare nägel wimpern schönheit",
        "kleid turnschuhe jacke rock handtasche stil",
        "witz streich lachen parodie satire quatsch",
        "katze hund hase papagei pferd schildkröte",
        "spiel spieler konsole turnier sieg controller",
        "reise strand berge koffer flug abenteuer",
        "fußball torwart schwimmen boxen radfahren meister",
        "basteln stricken töpfern malerei sticken holz",
    ), "tiktok liebe challenge deutschland alltag tipps welt zeit"),
    Language("th", 0.03, 7, (
        "เต้น ท่าเต้น นักเต้น",
        "ร้องเพลง กีตาร์ ดนตรี",
        "อาหาร ส้มตำ ขนมหวาน",
        "ออกกำลังกาย กล้าม วิ่ง",
        "แต่งหน้า ผมสวย ลิปสติก",
        "แฟชั่น รองเท้า ชุดไทย",
        "ตลก ขำ แกล้งเพื่อน",
        "แมวน้อย หมาน้อย กระต่าย",
        "เกม นักแข่ง ทัวร์นาเมนต์",
        "เที่ยวทะเล ภูเขา เครื่องบิน",
        "ฟุตบอล มวยไทย ว่ายน้ำ",
        "วาดรูป เย็บผ้า ปั้นดิน",
    ), "วันนี้ ไทย ชาเลนจ์ ติ๊กต๊อก ทุกวัน",
    "เช้านี้อากาศดีมาก ข้าวผัดกุ้งอร่อยสุด"),
    Language("zh", 0.03, 8, (
        "跳舞 编舞 舞蹈 街舞",
        "吉他 唱歌 钢琴 翻唱",
        "美食 火锅 烧烤 奶茶",
        "健身 瑜伽 深蹲 跑步",
        "化妆 口红 护肤 发型",
        "穿搭 球鞋 汉服 裙子",
        "搞笑 段子 恶搞 模仿",
        "小猫 小狗 仓鼠 鹦鹉",
        "游戏 电竞 手柄 通关",
        "旅行 海边 登山 露营",
        "篮球 足球 游泳 拳击",
        "手工 刺绣 陶艺 绘画",
    ), "日常 挑战 教程 生活 达人 分享 合集 记录",
    "春风十里不如你 厨房里飘来香味 城市夜晚灯火辉煌"),
    Language("it", 0.02, 1, (
        "ballo coreografia ballerina tarantella passi danza",
        "chitarra cantante canzone pianoforte tamburo ritornello",
        "ricetta lasagne tiramisù gelato focaccia carbonara",
        "palestra addominali flessioni muscoli allenamento corsa",
        "trucco rossetto capelli unghie ciglia bellezza",
        "vestito scarpe borsa gonna giacca stile",
        "scherzo barzelletta risate comicità parodia gaffe",
        "gattino cagnolino coniglio pappagallo cavallo tartaruga",
        "gioco giocatore partita livello torneo vittoria",
        "viaggio spiaggia montagna valigia tramonto avventura",
        "calcio portiere nuoto pugilato ciclismo campione",
        "uncinetto ceramica pittura ricamo legno disegno",
    ), "tiktok sfida italia facile amore mondo"),
    Language("tr", 0.02, 3, (
        "dans halay oyun koreografi zeybek dansçı",
        "gitar şarkı türkü bağlama davul melodi",
        "tarif kebap baklava börek kahvaltı mantı",
        "spor egzersiz kas koşu şınav esneme",
        "makyaj ruj saç tırnak kirpik güzellik",
        "elbise ayakkabı çanta ceket etek kombin",
        "şaka komedi kahkaha mizah parodi espri",
        "kedi köpek tavşan papağan at kaplumbağa",
        "oyuncu konsol turnuva zafer görev bölüm",
        "gezi plaj dağ valiz uçak macera",
        "futbol kaleci yüzme boks bisiklet şampiyon",
        "örgü seramik resim nakış ahşap çizim",
    ), "tiktok türkiye keşfet sevgisi günlük dünyası"),
)  # fmt: skip

EVERYWHERE = (
    "fyp foryou foryoupage viral tiktok trending duet stitch xyzbca greenscreen transition slowmo aesthetic couple "
    "bestfriend storytime pov edit cover remake asmr satisfying lockdown halloween christmas birthday"
).split()
"""Hashtags that all languages use."""

EMOJI = tuple("😂🤣😍🥰😭🔥💯✨🙈🤪😎🙏💀👀💃🎶🎉🍕🐶🐱🏀👑💪🌈🌊🍓🎮🧶🚗🌸🤡🦋🍀🥺😱😡🥳👻🐸🍩🎂⚽🏆🎸📚🧁🚀🌙🌵")
"""Emoji of one code point that need no variation selector."""
